"""Run the figures and print them as ratios: `python -m benchmarks [run chain items …] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks import figures
from benchmarks.clusters import clusters
from benchmarks.conditions import conditions
from benchmarks.events import events
from benchmarks.figure import Figure
from benchmarks.figures import FIGURES, Dbos
from benchmarks.growth import growth
from benchmarks.triggers import triggers
from benchmarks.tui import tui
from benchmarks.tui_logs import tui_logs
from benchmarks.tui_memory import tui_memory
from benchmarks.workstation import open_workstation

_OTHERS: dict[str, Callable[[], list[Figure]]] = {
    "conditions": conditions,
    "triggers": triggers,
    "events": events,
    "idle": figures.start_and_idle,
    "growth": growth,
    "clusters": clusters,
    "tui": tui,
    "tui_memory": tui_memory,
    "tui_logs": tui_logs,
}
_ALL = [*FIGURES, *_OTHERS]


def main(arguments: list[str]) -> int:
    """Measure what was asked for; exit 1 when a figure missed its target."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_ALL))
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument(
        "--dbos",
        type=float,
        nargs=2,
        metavar=("MS", "PER_S"),
        help="DBOS as `python -m benchmarks.peers.dbos` has just measured it: ms a run, runs a second",
    )
    options = parser.parse_args(arguments)
    unknown = {*options.names} - {*_ALL}
    if unknown:
        parser.error(f"unknown figures: {', '.join(sorted(unknown))}; there are {', '.join(_ALL)}")
    dbos = Dbos(options.dbos[0] / 1000, options.dbos[1], "measured now") if options.dbos else Dbos()
    found = list(_measure(options.names or _ALL, dbos))
    _print(found)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in found], indent=1))
    return 0 if all(figure.reached for figure in found) else 1


def _measure(names: list[str], dbos: Dbos) -> Iterable[Figure]:
    if {*names} & {*FIGURES}:
        with open_workstation() as station:
            for name in names:
                if name in FIGURES:
                    yield from _told(FIGURES[name](station, dbos))
    for name, measure in _OTHERS.items():
        if name in names:
            yield from _told(measure())


def _told(found: list[Figure]) -> list[Figure]:
    for figure in found:
        print(f"{figure.name}: {figure.ratio:.2f} ({figure.measured})", file=sys.stderr, flush=True)
    return found


def _print(found: list[Figure]) -> None:
    print("| figure | ratio | to reach | | measured | floor in the same run |")
    print("|---|---|---|---|---|---|")
    for figure in found:
        mark = "reached" if figure.reached else "MISSED"
        print(
            f"| {figure.name} | {figure.ratio:.2f} | {figure.target} | {mark} "
            f"| {figure.measured} | {figure.floor} |"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
