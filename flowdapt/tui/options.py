"""Read what a person set for the TUI: theme, signs, keys. Part of the settings file, `[tui]`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowdapt.domain.errors import InvalidInput
from flowdapt.tui.keys import wrong_keys
from flowdapt.tui.themes import THEMES

__all__ = ["Options", "read_options"]


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for one TUI. `keys` maps ids of `keys.KEYS` to keys."""

    theme: str = "dark"
    ascii: bool = False
    read_only: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)


def read_options(path: Path, environ: Mapping[str, str] | None = None) -> Options:
    """Return the options of a settings file. Raise InvalidInput listing what is wrong in `[tui]`."""
    environ = os.environ if environ is None else environ
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("tui", {})
    except (FileNotFoundError, NotADirectoryError):
        found = {}
    except (OSError, ValueError) as error:
        raise _wrong(path, [str(error)]) from None
    keys = {str(name): str(value) for name, value in found.get("keys", {}).items()}
    theme = str(found.get("theme") or ("dark" if _many_colours(environ) else "contrast"))
    wrong = wrong_keys(keys) + _wrong_theme(theme)
    if wrong:
        raise _wrong(path, wrong)
    return Options(
        theme=theme,
        ascii=bool(found.get("ascii", False)) or not _unicode(environ),
        read_only=bool(found.get("read_only", False)),
        keys=keys,
    )


def _wrong_theme(name: str) -> list[str]:
    return [] if name in THEMES else [f"tui.theme: {name!r} is none of {', '.join(THEMES)}"]


def _wrong(path: Path, problems: list[str]) -> InvalidInput:
    return InvalidInput("; ".join(problems), code="settings.invalid", fix=f"correct {path}")


def _many_colours(environ: Mapping[str, str]) -> bool:
    """Say whether the terminal has more than 16 colours; with those the quiet themes lose their greys."""
    names = environ.get("COLORTERM", "") + environ.get("TERM", "")
    return any(word in names for word in ("truecolor", "24bit", "256color", "direct", "kitty"))


def _unicode(environ: Mapping[str, str]) -> bool:
    """Say whether the terminal shows more than ASCII: its locale says so, or says nothing."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "UTF-8"
    return "utf" in locale.lower() or environ.get("LANG") is None
