"""The command that starts a run: `flowdapt run WORKFLOW`, waits for it, shows it, prints its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from flowdapt.cli.cells import preview
from flowdapt.cli.grammar import Arg, Commands, Opt, option_names
from flowdapt.cli.reading import duration_s, inputs_of, open_pairs, read_pairs
from flowdapt.cli.run_page import headline, show_value, tell_error, tell_failed_items
from flowdapt.cli.session import Session
from flowdapt.cli.waiting import Found, ended, leave, outcome_code, wait_for
from flowdapt.client.endpoints import runs as calls
from flowdapt.client.repeating import new_key
from flowdapt.client.wire import Request
from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.wording import size

commands = Commands()

# Most runs of a small workflow end within it: one request, one answer.
FIRST_WAIT_S = 1.0
EPILOG = """\
Every other --NAME VALUE is an input of the workflow:  flowdapt run train --n_vals 5
Values are JSON where they can be, else text.  Exit code: 0 finished, 1 failed or cancelled,
8 not ended within --timeout.  Ctrl-C detaches; the run goes on.
"""


@commands.add("run", open_ended=True, epilog=EPILOG)
def run(
    session: Session,
    workflow: Annotated[str, Arg("name of the workflow", "WORKFLOW", "workflow")],
    *,
    input_: Annotated[list[str] | None, Opt("--input -i", "one input", "NAME=VALUE")] = None,
    input_file: Annotated[
        Path | None, Opt("--input-file", "inputs from JSON or YAML; - is stdin", "FILE", "file")
    ] = None,
    on: Annotated[
        str | None,
        Opt("--on", "executor to use in place of the active one", "EXECUTOR", "executor"),
    ] = None,
    label: Annotated[
        list[str] | None, Opt("--label -l", "a word to find the run by", "NAME=VALUE")
    ] = None,
    priority: Annotated[int | None, Opt("--priority", "higher ones go first", "N")] = None,
    wait: Annotated[bool, Opt("--wait --no-wait", "wait for the end")] = True,
    follow: Annotated[bool, Opt("--follow -f", "show every stage as it goes")] = False,
    result_only: Annotated[
        bool, Opt("--result-only", "print the result's JSON and nothing else")
    ] = False,
    key: Annotated[
        str | None, Opt("--key", "idempotency key: the same key names the same run", "KEY")
    ] = None,
    timeout: Annotated[
        float | None,
        Opt("--timeout", "how long to wait; the run goes on", "TIME", parse=duration_s),
    ] = None,
    run_timeout: Annotated[
        str | None, Opt("--run-timeout", "limit of the run itself", "TIME")
    ] = None,
    unknown: Sequence[str] = (),
) -> int:
    """Start a run of a workflow and wait for its end."""
    known = option_names(commands.by_name["run"].parser("flowdapt run"))
    body: dict[str, Any] = {
        "input": inputs_of(input_ or [], input_file, open_pairs(unknown, known)),
        "namespace": session.namespace,
        "executor": on,
        "labels": {name: str(value) for name, value in read_pairs(label or [], "--label").items()},
        "priority": priority,
        "timeout": run_timeout,
    }
    sent = {name: value for name, value in body.items() if value not in (None, {})}
    wait = wait or follow or result_only
    found = submit(session, workflow, sent, key=key, wait=wait, follow=follow, timeout_s=timeout)
    return report(session, found, result_only=result_only, waited=wait)


def submit(
    session: Session,
    workflow: str,
    body: dict[str, Any],
    *,
    key: str | None = None,
    wait: bool = True,
    follow: bool = False,
    timeout_s: float | None = None,
) -> Found:
    """Submit a run; with `wait` return it when it has ended."""
    key = key or new_key()
    silent = wait and not follow and not session.screen.live
    first = min(FIRST_WAIT_S, timeout_s or FIRST_WAIT_S) if silent else 0.0
    try:
        found: Found = session.ask(calls.submit(workflow, body, key=key, wait_s=first))
    except KeyboardInterrupt:
        # It may be stored already: the key finds out, and does no harm if it is not.
        leave(session, session.ask(calls.submit(workflow, body, key=key))["name"])
    if not wait:
        return found
    left = None if timeout_s is None else max(timeout_s - first, 0.0)
    return wait_for(session, found, timeout_s=left, follow=follow)


def report(session: Session, found: Found, *, result_only: bool, waited: bool) -> int:
    """Print what became of a run; return the exit code it deserves."""
    code = outcome_code(found) if waited else 0
    if result_only and ended(found):
        if code == 0:
            print_result(session, found["uid"])
    else:
        session.output.one(found, lambda: _show(session, found))
    session.screen.flush()
    tell_failed_items(session, found)
    if waited and code:
        tell_error(session, found)
    return code


def _show(session: Session, found: Found) -> None:
    # The live view has said so already, where both go to one terminal.
    if not (ended(found) and session.screen.live and session.screen.out.isatty()):
        session.screen.styled(*headline(found))
    if not ended(found):
        session.screen.note(f"  flowdapt runs wait {found['name']}", "dim")
    elif found.get("result") is not None:
        show_value(session, found["result"], found["name"])
    elif found.get("result_preview") is not None:
        about = f"{preview(found['result_preview'])}  {size(found.get('result_size_bytes'))}"
        session.screen.styled(("  result: ", "dim"), (about, None))


def print_result(session: Session, ident: str) -> None:
    """Write the JSON of a result as it comes; escaped where a terminal reads it."""
    try:
        _print_json(session, calls.result(ident).request)
    except InvalidInput as error:
        if error.exact_code != "run.result_not_json":
            raise
        raise InvalidInput(
            "the result holds values that JSON has not",
            code=error.exact_code,
            fix=f"flowdapt runs show {ident}  shows its head; a leaf that returns dicts, lists, "
            "numbers and texts has JSON",
        ) from None


def _print_json(session: Session, request: Request) -> None:
    import json

    from flowdapt.cli.output import json_text, yaml_text

    if session.output.form == "yaml":
        session.screen.ready(yaml_text(json.loads(session.send(request).body)))
    elif session.screen.out.isatty() or session.output.form in {"json", "jsonl"}:
        value = json.loads(session.send(request).body)
        session.screen.ready(json_text(value, compact=session.output.form == "jsonl") + "\n")
    else:
        session.screen.flush()
        session.download(request, session.screen.out.buffer.write)
        session.screen.ready("\n")
