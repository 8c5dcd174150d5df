"""Decide what a check of an executor tells: one line, how bad it is, and the way out."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Finding", "Level"]

Level = Literal["ok", "warning", "failed"]


class Finding(BaseModel):
    """One row of a preflight. Only `failed` keeps from switching.

    `code` is stable (`executor.plugin_skew`) and there when the level is not `ok`; `words` is one
    line without a glyph; `fix` says what to do next.
    """

    model_config = ConfigDict(frozen=True)

    what: str
    level: Level
    words: str
    code: str = ""
    fix: str = ""
