"""Turn what stages log through the standard library into lines of their run."""

from __future__ import annotations

import logging

from flowdapt.domain.task import LogLine
from flowdapt.runtime.context import find_run_context

__all__ = ["ContextLogHandler"]


class ContextLogHandler(logging.Handler):
    """Turn log records into lines of the stage they come from; records from elsewhere are left alone.

    A worker puts one on the root logger when it starts.
    """

    def emit(self, record: logging.LogRecord) -> None:
        context = find_run_context()
        if context is None:
            return
        try:
            text = self.format(record)
            for line in text.splitlines() or [""]:
                context.emit(_log_line(record, line, context.index))
        except Exception:  # a record with a broken __str__ must not end the stage
            self.handleError(record)


def _log_line(record: logging.LogRecord, text: str, index: int | None) -> LogLine:
    level = record.levelname.lower()
    return LogLine(record.created, "log", level, text, index, record.name)
