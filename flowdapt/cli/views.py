"""Decide which columns lists have: runs, stages, resources."""

from __future__ import annotations

from typing import Any

from flowdapt.cli.cells import state_style, state_word
from flowdapt.cli.tables import Column, Row
from flowdapt.domain.wording import age, duration, moment, short

__all__ = [
    "APPLIED_COLUMNS",
    "METRIC_COLUMNS",
    "RESOURCE_COLUMNS",
    "RUN_COLUMNS",
    "STAGE_COLUMNS",
    "items_text",
    "text",
]


def text(key: str) -> Any:
    return lambda row: "" if row.get(key) is None else str(row[key])


def _age(row: Row) -> str:
    return age(row.get("created_at"))


def error_text(row: Row) -> str:
    error = row.get("error")
    if error:
        return short(f"{error['type'].rpartition('.')[2]}: {error['message']}", 200)
    return row.get("reason") or ""


def _took(row: Row) -> str:
    found = row.get("duration_s")
    return duration(found) if found is not None else ""


def _elsewhere(row: Row) -> str:
    """Return the executor where it is not this machine's own."""
    name = str(row.get("executor") or "")
    return "" if name == "local" else name


RUN_COLUMNS = (
    Column("state", state_word, keep=True, style=state_style),
    Column("name", text("name"), keep=True),
    Column("workflow", text("workflow"), keep=True),
    Column("age", _age, right=True),
    Column("took", _took, right=True),
    Column("executor", _elsewhere),
    Column("reason", error_text, flex=True),
    Column("source", text("source"), wide=True),
    Column("namespace", text("namespace"), wide=True),
    Column("rev", text("revision"), wide=True, right=True),
    Column("created", lambda row: moment(row.get("created_at")), wide=True),
    Column("uid", text("uid"), wide=True),
)


def items_text(row: Row) -> str:
    """Return `38/40 ✔ 2 ✖` of a mapped stage."""
    items = row.get("items")
    if not items or (items.get("total") is None and not items.get("finished")):
        return ""
    total = "?" if items.get("total") is None else f"{items['total']:,}"
    done = f"{items.get('finished', 0):,}/{total}"
    failed = items.get("failed")
    return f"{done}  {failed:,} ✖" if failed else done


def _attempt(row: Row) -> str:
    attempt, losses = row.get("attempt") or 0, row.get("losses") or 0
    lost = f" ({losses} lost)" if losses else ""
    return f"{attempt}{lost}" if attempt > 1 or losses else ""


STAGE_COLUMNS = (
    Column("state", state_word, keep=True, style=state_style),
    Column("stage", text("name"), keep=True),
    Column("items", items_text, right=True),
    Column("took", _took, right=True),
    Column("attempt", _attempt, right=True),
    Column(
        "reason",
        lambda row: "from the parent run" if row.get("inherited") else error_text(row),
        flex=True,
    ),
    Column("type", text("type"), wide=True),
    Column("started", lambda row: moment(row.get("started_at")), wide=True),
)


def _meta(row: Row, key: str) -> Any:
    return row.get("metadata", {}).get(key)


def _annotations(row: Row) -> str:
    found = _meta(row, "annotations") or {}
    return ",".join(f"{name}={short(value, 30)}" for name, value in found.items())


def _does(action: Row) -> str:
    """Return an action by its name, a run by its workflow."""
    workflow = (action.get("parameters") or {}).get("workflow")
    return workflow if isinstance(workflow, str) else str(action.get("target", ""))


def _holds(row: Row) -> str:
    spec = row.get("spec", {})
    if "stages" in spec:
        return ", ".join(stage["name"] for stage in spec["stages"])
    if "rule" in spec:
        actions = spec.get("actions") or [spec.get("action") or {}]
        does = ", ".join(_does(action) for action in actions)
        return f"{spec.get('type', '')} {short(spec['rule'], 100)} → {does}"
    return short(spec.get("data", ""), 200)


RESOURCE_COLUMNS = (
    Column("name", lambda row: str(_meta(row, "name")), keep=True),
    Column("rev", lambda row: str(_meta(row, "revision") or ""), right=True),
    Column("age", lambda row: age(_meta(row, "updated_at")), right=True),
    Column("annotations", _annotations, flex=True),
    Column("holds", _holds, flex=True),
    Column("created", lambda row: moment(_meta(row, "created_at")), wide=True),
    Column("uid", lambda row: str(_meta(row, "uid") or ""), wide=True),
)


_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARK = 24


def sparkline(values: list[float]) -> str:
    """Return a series as a line of blocks, at most 24 of them."""
    step = max(len(values) / _SPARK, 1)
    chosen = [values[int(place * step)] for place in range(min(len(values), _SPARK))]
    low, high = min(chosen), max(chosen)
    span = (high - low) or 1.0
    return "".join(_BLOCKS[int((value - low) / span * (len(_BLOCKS) - 1))] for value in chosen)


def _values(row: Row) -> list[float]:
    return [point[1] for point in row["points"]]


METRIC_COLUMNS = (
    Column("stage", text("stage"), keep=True),
    Column("metric", text("name"), keep=True, flex=True),
    Column("item", text("index"), right=True),
    Column("last", lambda row: f"{_values(row)[-1]:.6g}", keep=True, right=True),
    Column("least", lambda row: f"{min(_values(row)):.6g}", right=True),
    Column("most", lambda row: f"{max(_values(row)):.6g}", right=True),
    Column("points", lambda row: str(len(row["points"])), right=True),
    Column("course", lambda row: sparkline(_values(row))),
)


_ACTION_STYLES = {"created": "good", "updated": "busy", "unchanged": "dim", "deleted": "warn"}
APPLIED_COLUMNS = (
    Column(
        "action", text("action"), keep=True, style=lambda row: _ACTION_STYLES.get(row["action"])
    ),
    Column("kind", text("kind"), keep=True),
    Column("name", text("name"), keep=True),
    Column("rev", text("revision"), right=True),
)
