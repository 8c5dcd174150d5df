"""Decide whether workers are enough like the daemon: Python, flowdapt, libraries, plugins.

Both sides tell what they are (`runtime/facts.py`). What differs is told before a run, in words,
instead of by an error of pickle within one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from flowdapt.domain.finding import Finding, Level
from flowdapt.domain.wording import amount

__all__ = ["CLUSTER_LIBRARIES", "Facts", "skew"]

Facts = Mapping[str, Any]

CLUSTER_LIBRARIES = ("dask", "distributed", "ray")
MISSING = "none"

Same = Callable[[str, str], bool]


def _release(count: int) -> Same:
    def same(here: str, there: str) -> bool:
        return here.split(".")[:count] == there.split(".")[:count]

    return same


# Up to which number of its version two sides of a library understand each other: their protocols
# change with the month of a release (dask), with each release (ray), with a major version.
_BREAKS: Mapping[str, Same] = {
    "cloudpickle": _release(1),
    "dask": _release(2),
    "distributed": _release(2),
    "ray": _release(9),
}
_ALWAYS_TOLD = ("cloudpickle", "msgspec")


def skew(
    here: Facts,
    workers: Mapping[str, Facts | None],
    engine: Collection[str] = (),
    *,
    travelling: Collection[str] = (),
) -> list[Finding]:
    """Return the rows of a preflight that compare versions, one for each thing that differs.

    `workers` are the facts by worker, None where flowdapt could not be imported there. `engine` are
    the cluster's own libraries; those of other clusters are passed over. `travelling` are plugins
    whose sources go along with the tasks, so that a worker need not have them.
    """
    told = [facts for facts in workers.values() if facts is not None]
    rows = list(_absent(len(workers) - len(told), len(workers)))
    if told:
        rows += _flowdapt(here, told)
        rows += _python(here, told)
        rows += _platform(here, told)
        rows += _libraries(here, told, engine)
        rows += _plugins(here, told, travelling)
    return rows


def _absent(count: int, of: int) -> Iterator[Finding]:
    if count:
        yield Finding(
            what="flowdapt",
            level="failed",
            words=f"flowdapt cannot be imported {_on(count, of)}",
            code="executor.flowdapt_skew",
            fix="the workers' environment needs the same version of it as the daemon's",
        )


def _flowdapt(here: Facts, workers: Sequence[Facts]) -> Iterator[Finding]:
    mine, theirs = _text(here, "flowdapt"), [_text(facts, "flowdapt") for facts in workers]
    different = [one for one in theirs if one != mine]
    if not different:
        yield Finding(what="flowdapt", level="ok", words=f"flowdapt {mine} = {mine}")
        return
    broken = not all(_release(2)(mine, one) for one in different)
    yield Finding(
        what="flowdapt",
        level="failed" if broken else "warning",
        words=f"flowdapt {_against(mine, theirs)}",
        code="executor.flowdapt_skew",
        fix=f"install flowdapt=={mine} in the workers' environment",
    )


def _python(here: Facts, workers: Sequence[Facts]) -> Iterator[Finding]:
    mine, theirs = _minor(here), [_minor(facts) for facts in workers]
    if all(one == mine for one in theirs):
        yield Finding(what="python", level="ok", words=f"python {mine} = {mine}")
        return
    yield Finding(
        what="python",
        level="failed",
        words=f"python {_against(mine, theirs)}",
        code="executor.python_skew",
        fix=f"run the workers on python {mine}, or the daemon on theirs",
    )


def _minor(facts: Facts) -> str:
    """Return what code and pickles depend on: `3.11`, `pypy 3.11` where it is not CPython."""
    version = ".".join(_text(facts, "python").split(".")[:2])
    name = _text(facts, "implementation")
    return version if name in ("", "cpython") else f"{name} {version}"


def _platform(here: Facts, workers: Sequence[Facts]) -> Iterator[Finding]:
    mine, theirs = _text(here, "platform"), [_text(facts, "platform") for facts in workers]
    if all(one == mine for one in theirs):
        return
    yield Finding(
        what="platform",
        level="warning",
        words=f"platform {_against(mine, theirs)}",
        code="executor.platform_skew",
        fix="compiled extensions in your own code must exist for both",
    )


def _libraries(here: Facts, workers: Sequence[Facts], engine: Collection[str]) -> Iterator[Finding]:
    mine: Mapping[str, str] = here.get("libraries", {})
    passed_over = set(CLUSTER_LIBRARIES) - set(engine)
    names = sorted((set(mine) | set(engine)) - passed_over)
    rows = [row for name in names for row in _library(name, mine.get(name, MISSING), workers)]
    equal = [name for name in (*engine, *_ALWAYS_TOLD) if name in mine]
    equal = [name for name in dict.fromkeys(equal) if name not in {row.what for row in rows}]
    if equal:
        yield Finding(what="libraries", level="ok", words=f"{', '.join(equal)} equal")
    yield from rows


def _library(name: str, mine: str, workers: Sequence[Facts]) -> Iterator[Finding]:
    theirs = [facts.get("libraries", {}).get(name, MISSING) for facts in workers]
    different = [one for one in theirs if one != mine]
    if not different:
        return
    same = _BREAKS.get(name)
    broken = same is not None and not all(same(mine, one) for one in different)
    level: Level = "failed" if broken else "warning"
    yield Finding(
        what=name,
        level=level,
        words=f"{name} {_against(mine, theirs)}",
        code="executor.library_skew",
        fix=f"install {_pinned(name, mine)} in the workers' environment",
    )


def _plugins(
    here: Facts, workers: Sequence[Facts], travelling: Collection[str]
) -> Iterator[Finding]:
    mine: Mapping[str, Facts] = here.get("plugins", {})
    rows = [
        row
        for name, plugin in sorted(mine.items())
        if name not in travelling
        for row in _plugin(name, plugin, workers)
    ]
    differing = {row.what for row in rows}
    if equal := [
        name for name in mine if name not in travelling and f"plugin {name}" not in differing
    ]:
        yield Finding(what="plugins", level="ok", words=f"{amount(len(equal), 'plugin')} equal")
    if going := sorted(set(mine) & set(travelling)):
        words = f"sources of {', '.join(going)} go along with the tasks"
        yield Finding(what="plugins", level="ok", words=words)
    yield from rows


def _plugin(name: str, mine: Facts, workers: Sequence[Facts]) -> Iterator[Finding]:
    version = _text(mine, "version")
    theirs = [_version(facts, name) for facts in workers]
    if all(one == version for one in theirs):
        return
    pinned = _pinned(_text(mine, "distribution") or name, version)
    # What is somebody's folder here can be had nowhere else.
    instead = (
        ", or set shares_files=false: its sources then go along" if mine.get("editable") else ""
    )
    yield Finding(
        what=f"plugin {name}",
        level="failed",
        words=f"plugin {name} {_against(version, theirs)}",
        code="executor.plugin_skew",
        fix=f"install {pinned} in the workers' environment{instead}",
    )


def _version(facts: Facts, plugin: str) -> str:
    found = facts.get("plugins", {}).get(plugin)
    return MISSING if found is None else _text(found, "version")


# -- words -----------------------------------------------------------------------------------------


def _against(mine: str, theirs: Sequence[str]) -> str:
    """Return `0.4.1 here, 0.3.9 on 2 of 6 workers`, the most frequent of the others first."""
    others = Counter(one for one in theirs if one != mine)
    told = [f"{one} {_on(count, len(theirs))}" for one, count in others.most_common(3)]
    return ", ".join([f"{mine} here", *told])


def _on(count: int, of: int) -> str:
    if of == 1:
        return "on the worker"
    return f"on all {of} workers" if count == of else f"on {count} of {of} workers"


def _pinned(name: str, version: str) -> str:
    return name if version in ("", MISSING) else f"{name}=={version}"


def _text(facts: Facts, name: str) -> str:
    return str(facts.get(name) or "")
