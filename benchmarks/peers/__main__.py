"""Run peers and print the table: `python -m benchmarks.peers [NAME …] [--results FOLDER] [--again]`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.measuring import KEYS
from benchmarks.peers.processes import ROOT, adopt_orphans, end_tree

NAMES = ("flowdapt", "dbos", "prefect", "dagster", "dask", "ray")


def main() -> None:
    """Measure the named peers with this interpreter, then print all that the folder holds."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], default=[])
    default = Path(tempfile.gettempdir()) / "flowdapt-peers"
    parser.add_argument("--results", type=Path, default=default, help="folder of JSON files")
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        path = options.results / f"{name}.json"
        if options.again or not path.exists():
            path.write_text(_measure(name))
    found = [options.results / f"{name}.json" for name in NAMES]
    print(table([json.loads(path.read_text()) for path in found if path.exists()]))


def _measure(name: str) -> str:
    adopt_orphans()
    command = [sys.executable, "-m", f"benchmarks.peers.{name}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            answer, _ = process.communicate(timeout=300)
        finally:
            end_tree(process.pid)
    json.loads(answer)
    return answer


def table(peers: list[dict[str, Any]]) -> str:
    """Return one markdown table, a column for each peer, and the reasons for what is missing."""
    head = "| | " + " | ".join(peer["peer"] for peer in peers) + " |"
    rows = [head, "|---" * (len(peers) + 1) + "|"]
    rows += [f"| {key} | " + " | ".join(_cell(p.get(key)) for p in peers) + " |" for key in KEYS]
    rows.append("| load before | " + " | ".join(f"{p['load_before']:.1f}" for p in peers) + " |")
    rows += [
        "",
        *(
            f"- {p['peer']} {key}: {p[key]['reason']}"
            for p in peers
            for key in KEYS
            if key in p and p[key]["reason"]
        ),
    ]
    return "\n".join(rows)


def _cell(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    slow = f" ({figure['p95']:,.3g})" if figure["p95"] is not None else ""
    return f"{figure['value']:,.3g}{slow}"


if __name__ == "__main__":
    main()
