"""Decide what two runs are compared by, and how it is laid side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowdapt.cli.cells import shown_state
from flowdapt.cli.tables import Column
from flowdapt.domain.wording import short as cut

__all__ = ["COMPARE_COLUMNS", "differences"]

Found = Mapping[str, Any]


def _same(row: Found) -> str | None:
    return "dim" if row["same"] else "warn"


COMPARE_COLUMNS = (
    Column("what", lambda row: str(row["what"]), keep=True),
    Column("a", lambda row: _shown(row["a"]), keep=True, flex=True),
    Column("b", lambda row: _shown(row["b"]), keep=True, flex=True, style=_same),
    Column("change", lambda row: _change(row["a"], row["b"])),
)


def differences(runs: Sequence[Found], series: Sequence[Sequence[Found]]) -> list[dict[str, Any]]:
    """Return a row per thing that both or one of the runs have."""
    sides = [_facts(run) | _last_values(found) for run, found in zip(runs, series, strict=True)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    rows = []
    for name in names:
        a, b = sides[0].get(name), sides[1].get(name)
        rows.append({"what": name, "a": a, "b": b, "same": a == b})
    return rows


def _facts(run: Found) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": run["name"],
        "workflow": run["workflow"],
        "revision": run["revision"],
        "state": shown_state(run),
        "executor": run["executor"],
        "duration": run.get("duration_s"),
    }
    facts |= {f"input {name}": value for name, value in (run.get("input") or {}).items()}
    facts |= {f"stage {one['name']}": one.get("duration_s") for one in run.get("stages") or ()}
    if run.get("error"):
        facts["error"] = f"{run['error']['type']}: {run['error']['message']}"
    if run.get("result") is not None:
        facts["result"] = run["result"]
    return facts


def _last_values(series: Sequence[Found]) -> dict[str, Any]:
    values = {}
    for one in series:
        item = "" if one.get("index") is None else f"[{one['index']}]"
        values[f"metric {one['stage']}{item} {one['name']}"] = one["points"][-1][1]
    return values


def _shown(value: Any) -> str:
    if value is None:
        return "—"
    return f"{value:.4g}" if isinstance(value, float) else cut(value, 60)


def _change(a: Any, b: Any) -> str:
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    if not numbers or isinstance(a, bool) or not a or a == b:
        return ""
    return f"{(b - a) / abs(a):+.1%}"
