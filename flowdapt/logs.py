"""Decide how the daemon writes its own log: structlog to a file or a terminal, with run and stage.

What stages print is not this log; it lies with their run (`ports/logs.py`). Text shown on a
terminal is escaped, since names and messages may hold control sequences.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, MutableMapping
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from flowdapt.domain.display import escape_controls

# structlog imports rich for tracebacks on a console, when it is there. Nothing here uses that, and it
# costs the daemon 25 ms of its start and 4 MiB.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # None stands for absent
try:
    import structlog
finally:
    del sys.modules["rich"]
    if _rich is not None:
        sys.modules["rich"] = _rich

__all__ = ["get_log", "set_up_logs"]

_KEYS = ("run", "stage", "attempt", "executor", "service")


def get_log(name: str) -> Any:
    """Return the log of a part of the daemon; keywords become keys of the line."""
    return structlog.get_logger(name)


def set_up_logs(
    *,
    level: str = "info",
    format_: str = "auto",
    file: Path | None = None,
    mask: Callable[[str], str] | None = None,
) -> None:
    """Send the log to the file, or to standard error; masks secrets on the way."""
    stream: logging.Handler
    if file is None:
        stream = logging.StreamHandler(sys.stderr)
    else:
        stream = WatchedFileHandler(file, encoding="utf-8", errors="backslashreplace")
        Path(file).chmod(0o600)
    console = format_ == "console" or (format_ == "auto" and _is_terminal(file))
    stream.setFormatter(_Lines(console=console, mask=mask))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level.upper())
    # A request line per poll says nothing that the metrics do not say better.
    for chatty in ("httpx", "httpcore", "hypercorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _to_record,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _is_terminal(file: Path | None) -> bool:
    return file is None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _to_record(
    _logger: Any, _method: str, fields: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Hand structlog's fields to the standard library, whose one formatter writes all lines."""
    event = str(fields.pop("event", ""))
    exc_info = fields.pop("exc_info", None)
    return (event,), {"exc_info": exc_info, "extra": {"fields": dict(fields)}}


class _Lines(logging.Formatter):
    """Write one line per record: JSON, or words for a person."""

    def __init__(self, *, console: bool, mask: Callable[[str], str] | None) -> None:
        super().__init__()
        self._console = console
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        trace = self.formatException(record.exc_info) if record.exc_info else None
        # %-formatting applies to the standard library's own callers only.
        event = record.getMessage() if record.args else str(record.msg)
        write = self._words if self._console else self._json
        text = write(record, event, fields, trace)
        return self._mask(text) if self._mask else text

    def _json(
        self, record: logging.LogRecord, event: str, fields: dict[str, Any], trace: str | None
    ) -> str:
        line = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            **fields,
        }
        if trace:
            line["traceback"] = trace
        return json.dumps(line, default=str)

    def _words(
        self, record: logging.LogRecord, event: str, fields: dict[str, Any], trace: str | None
    ) -> str:
        first = sorted(fields, key=lambda key: (key not in _KEYS, key))
        pairs = " ".join(f"{key}={fields[key]}" for key in first)
        head = f"{_utc(record.created)} {record.levelname.lower():<7} {event}"
        lines = [escape_controls(f"{head}  {pairs}" if pairs else head)]
        lines += [escape_controls(line) for line in (trace or "").splitlines()]
        return "\n".join(lines)


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
