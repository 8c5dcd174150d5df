"""Decide how one resource is told to a person: its head, then what is particular to its kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column, draw, fields
from flowdapt.cli.trigger_page import show_trigger
from flowdapt.cli.views import RUN_COLUMNS, text
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.domain.wording import moment

__all__ = ["show_resource"]


def show_resource(session: Session, kind: str, found: Mapping[str, Any]) -> None:
    """Write everything about a resource as data."""
    metadata, screen = found["metadata"], session.screen
    screen.styled(
        (f"{kind} ", "dim"), (metadata["name"], "bold"), (f"  r{metadata['revision']}", None)
    )
    annotations = ", ".join(f"{k}={v}" for k, v in (metadata.get("annotations") or {}).items())
    pairs = [
        ("annotations", annotations),
        ("created", moment(metadata.get("created_at"))),
        ("updated", moment(metadata.get("updated_at"))),
        ("uid", str(metadata.get("uid") or "")),
    ]
    fields(screen, pairs, indent="  ")
    if kind == "workflow":
        _show_workflow(session, found)
    else:
        if kind == "trigger_rule":
            show_trigger(session, found)
        from flowdapt.domain.yaml_writing import to_yaml

        screen.data()
        for line in to_yaml(found["spec"]).splitlines():
            screen.data(f"  {line}")


_SHOWN_ELSEWHERE = frozenset({"name", "type", "depends_on", "target", "description"})


def _options(stage: Mapping[str, Any]) -> str:
    """Return what a stage says beside its target, in the words of its document."""
    said = {name: value for name, value in stage.items() if name not in _SHOWN_ELSEWHERE}
    return "  ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in said.items()
    )


DEFINITION_COLUMNS = (
    Column("stage", text("name"), keep=True),
    Column("type", lambda row: str(row.get("type", "simple"))),
    Column("after", lambda row: ", ".join(row.get("depends_on") or ())),
    Column("target", text("target"), keep=True),
    Column("options", _options),
)


def _show_workflow(session: Session, found: Mapping[str, Any]) -> None:
    screen, spec = session.screen, found["spec"]
    limits = spec.get("concurrency") or {}
    pairs = [
        ("timeout", str(spec.get("timeout") or "")),
        ("at once", f"{limits['max_runs']} ({limits.get('when_full', 'queue')})" if limits else ""),
        ("about", spec.get("description") or ""),
    ]
    fields(screen, pairs, indent="  ")
    screen.data()
    draw(screen, DEFINITION_COLUMNS, spec["stages"], wide=True)
    recent = session.ask(run_calls.list_(workflow=found["metadata"]["name"], limit=5))
    if recent["items"]:
        screen.data()
        draw(screen, RUN_COLUMNS, recent["items"], wide=False)
