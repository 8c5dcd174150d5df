"""Decide how one run is told to a person: state first, then stages, then what failed or came out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowdapt.cli.cells import preview, state_style, state_word
from flowdapt.cli.session import Session
from flowdapt.cli.tables import draw, fields
from flowdapt.cli.views import STAGE_COLUMNS
from flowdapt.domain.wording import age, amount, duration, short, size
from flowdapt.domain.yaml_writing import to_yaml

__all__ = ["headline", "show_error", "show_run", "show_value", "tell_error", "tell_failed_items"]

Found = Mapping[str, Any]
_FRAME = re.compile(r'  File "(.+)", line (\d+), in (.+)$')
_ONE_LINE, _MOST_LINES, _LONGEST_LINE = 120, 12, 200


def headline(run: Found) -> tuple[tuple[str, str | None], ...]:
    took = run.get("duration_s")
    when = f"in {duration(took)}" if took is not None else f"since {age(run.get('created_at'))}"
    elsewhere = run.get("executor") or "local"
    where = "" if elsewhere == "local" else f"  on {elsewhere}"
    return (
        (state_word(run), state_style(run)),
        (f"  {run['name']}", "bold"),
        (f"  {run['workflow']} r{run['revision']}  {when}{where}", None),
    )


def show_run(session: Session, run: Found) -> None:
    """Write the page of a run as data."""
    screen = session.screen
    screen.styled(*headline(run))
    pairs = [
        ("reason", _reason(run)),
        ("namespace", "" if run["namespace"] == "default" else run["namespace"]),
        ("labels", ", ".join(f"{k}={v}" for k, v in (run.get("labels") or {}).items())),
        ("parent", run.get("parent") or ""),
        ("input", short(run["input"], 200) if run.get("input") else ""),
    ]
    fields(screen, pairs, indent="  ")
    if run.get("stages"):
        screen.data()
        draw(screen, STAGE_COLUMNS, run["stages"], wide=session.output.form == "wide")
    _show_result(session, run)
    show_error(session, run)


def _reason(run: Found) -> str:
    if run.get("error"):
        return ""
    return run.get("reason") or ("cancel requested" if run.get("cancel_requested_at") else "")


def _show_result(session: Session, run: Found) -> None:
    if run.get("result") is not None:
        session.screen.data()
        show_value(session, run["result"], run["name"])
    elif run.get("result_preview") is not None:
        about = f"{preview(run['result_preview'])}  {size(run.get('result_size_bytes'))}"
        session.screen.data()
        session.screen.styled(("result: ", "dim"), (about, None))


def show_value(session: Session, value: Any, name: str) -> None:
    """Write a result for people: on one line, or as YAML, or its head."""
    line = json.dumps(value, ensure_ascii=False)
    lines = to_yaml(value).splitlines()
    if len(line) <= _ONE_LINE:
        session.screen.styled(("result: ", "dim"), (line, None))
        return
    session.screen.styled(("result:", "dim"))
    for one in lines[:_MOST_LINES]:
        session.screen.data(f"  {short_line(one)}")
    if len(lines) > _MOST_LINES:
        session.screen.note(
            f"  … {len(lines) - _MOST_LINES} more lines:  flowdapt runs result {name}", "dim"
        )


def short_line(text: str) -> str:
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"


def show_error(session: Session, run: Found) -> None:
    for part in _error_lines(run, verbose=session.common.verbose):
        session.screen.styled(*part)


def tell_error(session: Session, run: Found) -> None:
    """Write to stderr why a run failed, and how to learn more."""
    for part in _error_lines(run, verbose=session.common.verbose):
        session.screen.complain(*part)


def _error_lines(run: Found, *, verbose: bool) -> list[tuple[tuple[str, str | None], ...]]:
    error = run.get("error")
    if not error:
        return []
    where = f'stage "{error["stage"]}"' if error.get("stage") else "the run"
    where += f" item {error['index']}" if error.get("index") is not None else ""
    kind = error["type"].rpartition(".")[2]
    first, *rest = (error["message"].splitlines() or [""])[:20]
    lines: list[tuple[tuple[str, str | None], ...]] = [
        (("✖ ", "bad"), (where, "bold"), (f"  {kind}: {first}", None), _code(run)),
        *(((f"    {line}", None),) for line in rest),
    ]
    traceback = (error.get("traceback") or "").splitlines()
    shown = traceback if verbose else _last_place(traceback)
    lines += [((f"    {line}", "dim"),) for line in shown]
    return [*lines, *_ways_out(run, verbose=verbose)]


def _last_place(traceback: Sequence[str]) -> list[str]:
    """Return where in the user's code it happened: `file:line in function`, and the line itself."""
    for place in range(len(traceback) - 1, -1, -1):
        found = _FRAME.match(traceback[place])
        if found:
            path, line, function = found.groups()
            source = [one for one in traceback[place + 1 : place + 2] if one.startswith("    ")]
            return [f"at {_from_here(path)}:{line} in {function}", *source]
    return []


def _from_here(path: str) -> str:
    """Return a path as it is short from the working directory, where it lies below that."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def _code(run: Found) -> tuple[str, str | None]:
    return (f"   [run.{run['reason']}]" if run.get("reason") else "", "dim")


def _ways_out(run: Found, *, verbose: bool) -> list[tuple[tuple[str, str | None], ...]]:
    name = run["name"]
    look = f"flowdapt logs {name}" if verbose else f"flowdapt runs show {name} -v"
    return [
        (("  fix:  ", "bold"), (look, None)),
        (("        ", None), (f"flowdapt runs retry {name}", None)),
    ]


def tell_failed_items(session: Session, run: Found) -> None:
    """Tell of a partial success which stages lost items, and where these are listed."""
    for stage in run.get("stages") or ():
        failed = (stage.get("items") or {}).get("failed")
        if failed and run.get("partial"):
            session.screen.told(
                ("◐ ", "warn"),
                (f"{amount(failed, 'item')} of {stage['name']} failed:", None),
                (f"  flowdapt runs show {run['name']} --items {stage['name']}", "dim"),
            )
