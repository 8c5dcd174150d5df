"""Commands that send any request: `flowdapt api`, and print the contract: `flowdapt openapi`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.output import json_text
from flowdapt.cli.reading import read_bytes
from flowdapt.cli.session import Session
from flowdapt.cli.usage import UsageProblem
from flowdapt.client.endpoints import system
from flowdapt.client.endpoints.making import API
from flowdapt.client.wire import Request

commands = Commands()
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_ROOTS = ("/api/", "/livez", "/readyz", "/metrics")


@commands.add("api")
def api(
    session: Session,
    method: Annotated[str, Arg("GET, POST, PUT, PATCH or DELETE", "METHOD", "method")],
    path: Annotated[str, Arg("path; /api/v1 may be left out", "PATH")],
    *,
    data: Annotated[
        str | None, Opt("-d --data", "body; @FILE reads a file, @- stdin", "JSON")
    ] = None,
    header: Annotated[
        list[str] | None, Opt("-H --header", "a header of the request", "NAME:VALUE")
    ] = None,
) -> None:
    """Send any request to the daemon and print the body of the answer."""
    if method.upper() not in _METHODS:
        raise UsageProblem(f"{method!r} is no method", fix=f"one of {', '.join(_METHODS)}")
    body = b"" if data is None else _body(data)
    headers = _headers(header or [], has_body=bool(body))
    full = path if path.startswith(_ROOTS) else f"{API}/{path.lstrip('/')}"
    answer = session.send(Request(method.upper(), full, (), headers, body))
    _print(session, answer.body, answer.headers.get("content-type", ""))


def _body(data: str) -> bytes:
    return read_bytes(Path(data[1:])) if data.startswith("@") else data.encode()


def _headers(given: list[str], *, has_body: bool) -> tuple[tuple[str, str], ...]:
    pairs = []
    for one in given:
        name, colon, value = one.partition(":")
        if not colon:
            raise UsageProblem(f"{one!r} is no header", fix="write -H 'Name: value'")
        pairs.append((name.strip().lower(), value.strip()))
    if has_body and "content-type" not in dict(pairs):
        pairs.append(("content-type", "application/json"))
    return tuple(pairs)


def _print(session: Session, body: bytes, content_type: str) -> None:
    """Write JSON in the form asked for; other bytes go out as they are, but not to a terminal."""
    if "json" in content_type and body:
        import json

        value = json.loads(body)
        form = session.output.form
        if form == "yaml":
            session.output.one(value, lambda: None)
        else:
            session.screen.ready(json_text(value, compact=form == "jsonl") + "\n")
    elif session.screen.out.isatty():
        for line in body.decode("utf-8", "replace").splitlines():
            session.screen.data(line)
    else:
        session.screen.flush()
        sys.stdout.buffer.write(body)


@commands.add("openapi")
def openapi(session: Session) -> None:
    """Print the REST contract (OpenAPI 3.1) as JSON; -o yaml as YAML."""
    _print(session, session.send(system.openapi().request).body, "application/json")
