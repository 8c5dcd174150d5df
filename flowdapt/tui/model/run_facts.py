"""Decide what is told of one run besides its stages' bars: headline, frames of an error, against its parent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flowdapt.domain.run import Run, RunError, StageRun
from flowdapt.domain.wording import short, size
from flowdapt.tui.model.words import age, took

__all__ = [
    "Compared",
    "Frame",
    "compared",
    "errors_of",
    "facts_of",
    "frames_of",
    "is_of_user",
    "preview_words",
]

_PLACE = re.compile(r'  File "(.+)", line (\d+), in (.+)$')
_NOT_OURS = re.compile(
    r"/(site|dist)-packages/|/lib(64)?/python\d|^<|/flowdapt/(runtime|plugins|services)/"
)
_MOST_ERRORS = 50


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a traceback: where, and the lines of code it showed."""

    path: str
    line: int
    function: str
    code: tuple[str, ...]


def frames_of(traceback: str) -> list[Frame]:
    """Return the frames of a Python traceback, the outermost first."""
    frames: list[Frame] = []
    for text in traceback.splitlines():
        found = _PLACE.match(text)
        if found:
            frames.append(Frame(found[1], int(found[2]), found[3], ()))
        elif frames and text.startswith("    "):
            last = frames[-1]
            frames[-1] = Frame(last.path, last.line, last.function, (*last.code, text.strip()))
    return frames


def is_of_user(frame: Frame) -> bool:
    """Say whether a frame is in code that a user wrote, not in a library or in us."""
    return not _NOT_OURS.search(frame.path)


def errors_of(run: Run) -> list[RunError]:
    """Return the run's error and those of its stages, each once."""
    found = [run.error] if run.error is not None else []
    for stage in run.stages:
        error = stage.error
        if error is None:
            continue
        named = error.model_copy(update={"stage": error.stage or stage.name})
        if not any(_same(named, one) for one in found):
            found.append(named)
    return found[:_MOST_ERRORS]


def _same(one: RunError, other: RunError) -> bool:
    return (one.type, one.message, one.stage) == (other.type, other.message, other.stage)


def facts_of(run: Run, now: datetime) -> list[tuple[str, str]]:
    """Return names and values for the lines above the tabs, the weightier first."""
    lasted = took(run, now)
    rule = f" ({run.trigger_rule})" if run.trigger_rule else ""
    found = [
        ("workflow", f"{run.workflow} r{run.revision}"),
        ("took" if run.state.terminal else "so far", lasted),
        ("age", age(run.created_at, now)),
        ("executor", run.executor),
        ("source", f"{run.source}{rule}"),
        ("retry of", (run.parent or "")[:8]),
        ("reason", run.reason or ""),
        ("namespace", "" if run.namespace == "default" else run.namespace),
        ("priority", str(run.priority or "")),
        ("experiment", run.experiment or ""),
        ("labels", " ".join(f"{name}={value}" for name, value in run.labels.items())),
    ]
    return [(name, value) for name, value in found if value]


def preview_words(preview: Any) -> str:
    """Return on one line what a value is that is not told whole: `pandas.DataFrame 144 by 2, 3.7 KiB`."""
    if not isinstance(preview, Mapping):
        return short(preview, 120)
    kind = str(preview.get("type") or preview.get("codec") or "value").removeprefix("builtins.")
    shape, length = preview.get("shape"), preview.get("length")
    large = ""
    if isinstance(shape, list):
        large = " " + " by ".join(f"{one:,}" if isinstance(one, int) else str(one) for one in shape)
    elif isinstance(length, int):
        large = f" of {length:,}"
    bytes_ = preview.get("size_bytes")
    weight = f", {size(bytes_)}" if isinstance(bytes_, int) else ""
    head = preview.get("head")
    return f"{kind}{large}{weight}" + ("" if head is None else f": {short(head, 60)}")


@dataclass(frozen=True, slots=True)
class Compared:
    """A stage in this run and in the one before."""

    name: str
    here: StageRun | None
    before: StageRun | None

    @property
    def slower_s(self) -> float | None:
        """Return how much longer it took than before; None unless both have ended and ran."""
        both = [one.duration_s for one in (self.here, self.before) if one is not None and not one.inherited]  # fmt: skip
        if len(both) < 2 or both[0] is None or both[1] is None:  # noqa: PLR2004 - both of them
            return None
        return both[0] - both[1]


def compared(run: Run, parent: Run) -> Sequence[Compared]:
    """Return the stages of two runs side by side, in the order of the newer."""
    here = {stage.name: stage for stage in run.stages}
    before = {stage.name: stage for stage in parent.stages}
    return [Compared(name, here.get(name), before.get(name)) for name in {**here, **before}]
