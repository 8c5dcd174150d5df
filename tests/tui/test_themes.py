"""Colours that everybody can read: contrast by WCAG 2, and distances as colour-blind eyes see them."""

from __future__ import annotations

from itertools import combinations

import pytest
from textual.color import Color

from flowdapt.domain.wording import STATE_GLYPHS
from flowdapt.tui.model.words import ASCII, UNICODE
from flowdapt.tui.themes import ROLES, STATE_ROLES, THEMES

# What must be told apart at a glance; the dim ones are told apart by glyph and word alone.
LOUD = ("good", "busy", "bad", "warn")
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLINDNESS = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}  # fmt: skip
Triple = tuple[float, float, float]


def linear(color: Color) -> Triple:
    return tuple(
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized
    )  # type: ignore[return-value]


def luminance(color: Color) -> float:
    red, green, blue = linear(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def seen_by(kind: str | None, color: Color) -> Triple:
    rgb = linear(color)
    if kind is None:
        return rgb
    return tuple(
        max(0.0, min(1.0, sum(a * b for a, b in zip(row, rgb, strict=True))))
        for row in BLINDNESS[kind]
    )  # type: ignore[return-value]


def lab(rgb: Triple) -> Triple:
    red, green, blue = rgb
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(kind: str | None, one: Color, other: Color) -> float:
    """Return Delta E (1976) between two colours as an eye sees them; 10 is plain at a glance."""
    a, b = lab(seen_by(kind, one)), lab(seen_by(kind, other))
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5


def role(theme: str, name: str) -> Color:
    return Color.parse(THEMES[theme].variables[f"role-{name}"])


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_can_be_read_on_every_background(theme: str) -> None:
    found = THEMES[theme]
    grounds = [Color.parse(str(one)) for one in (found.background, found.surface, found.panel)]
    least = 7.0 if theme == "contrast" else 4.5
    weak = {
        name: round(contrast(role(theme, name), ground), 2)
        for name in ROLES
        if not name.startswith("cursor")
        for ground in grounds
        if contrast(role(theme, name), ground) < least
    }
    assert weak == {}
    assert contrast(role(theme, "cursor-text"), role(theme, "cursor")) >= least
    assert all(contrast(Color.parse(str(found.foreground)), ground) >= 7 for ground in grounds)


@pytest.mark.parametrize("kind", [None, *BLINDNESS])
@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
def test_states_are_told_apart_by_every_eye(theme: str, kind: str | None) -> None:
    near = {
        (one, other): round(distance(kind, role(theme, one), role(theme, other)), 1)
        for one, other in combinations(LOUD, 2)
        if distance(kind, role(theme, one), role(theme, other)) < 10
    }
    assert near == {}


def test_the_measure_knows_red_and_green() -> None:
    """A check of the check: what a normal eye tells apart, a green-blind one does not."""
    red, green = Color.parse("#b3574f"), Color.parse("#7a7a3a")
    assert distance(None, red, green) > 30
    assert distance("deutan", red, green) < distance(None, red, green) / 2


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_every_state_has_a_sign_of_its_own(glyphs) -> None:
    assert set(glyphs.states) == set(STATE_GLYPHS) == set(STATE_ROLES)
    assert len(set(glyphs.states.values())) == len(STATE_GLYPHS)


def test_the_ascii_signs_are_ascii() -> None:
    drawn = [*ASCII.states.values(), ASCII.mark, ASCII.cursor, ASCII.more, ASCII.up, ASCII.down,
             ASCII.dot, ASCII.blocks, ASCII.bar, ASCII.rail, ASCII.arrow, ASCII.warning]  # fmt: skip
    assert all(one.isascii() for one in drawn)
