"""Decide the colours: four themes, states in Okabe-Ito hues that colour-blind eyes tell apart."""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

__all__ = ["ROLES", "STATE_ROLES", "THEMES", "role_of"]

# What a colour means. A theme gives each a colour; `$role-good` in the style sheet is one of them.
ROLES = (
    "good",
    "busy",
    "bad",
    "warn",
    "gone",
    "dim",
    "head",
    "cursor",
    "cursor-text",
    "mark",
    "key",
)

STATE_ROLES: Mapping[str, str] = {
    "finished": "good", "running": "busy", "failed": "bad", "queued": "dim", "pending": "dim",
    "cancelling": "gone", "cancelled": "gone", "skipped": "dim", "retrying": "warn",
    "partial": "warn",
}  # fmt: skip


def role_of(state: str) -> str:
    return STATE_ROLES.get(state, "dim")


def _theme(name: str, *, dark: bool, colours: str, roles: str) -> Theme:
    background, surface, panel, foreground, primary = colours.split()
    named = dict(zip(ROLES, roles.split(), strict=True))
    return Theme(
        name=name, dark=dark, primary=primary, secondary=primary, accent=primary,
        foreground=foreground, background=background, surface=surface, panel=panel,
        success=named["good"], warning=named["warn"], error=named["bad"],
        variables={f"role-{role}": colour for role, colour in named.items()}
        | {"footer-key-foreground": named["key"], "input-selection-background": f"{primary} 35%"},
    )  # fmt: skip


THEMES: Mapping[str, Theme] = {
    theme.name: theme
    for theme in (
        _theme(
            "dark", dark=True,
            colours="#101418 #171c22 #222a33 #dde3ea #62a8f5",
            roles="#3ac48a #62a8f5 #f0713c #e6b33a #cf8fb8 #94a0ad #b9c4d0 #2b4a66 #ffffff #f0e442 #f0c24a",
        ),
        _theme(
            "light", dark=False,
            colours="#fbfbf9 #f1f1ee #e2e3df #1c2126 #00578f",
            roles="#006b4f #00578f #b4090d #5d5506 #8a3a6b #5a636c #39414a #bcd9ee #0b1116 #7a3e00 #8a3800",
        ),
        _theme(
            "contrast", dark=True,
            colours="#000000 #000000 #1a1a1a #ffffff #66c7ff",
            roles="#3ee0b0 #66c7ff #ff8a57 #ffd24d #f0a8d8 #c8c8c8 #ffffff #ffe600 #000000 #ffe600 #ffe600",
        ),
        _theme(
            "mono", dark=True,
            colours="#000000 #000000 #202020 #e8e8e8 #e8e8e8",
            roles="#e8e8e8 #e8e8e8 #ffffff #e8e8e8 #c0c0c0 #a8a8a8 #ffffff #e8e8e8 #000000 #ffffff #ffffff",
        ),
    )
}  # fmt: skip
