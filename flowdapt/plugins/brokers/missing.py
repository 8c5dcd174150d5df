"""Say what to install when the client library of a broker is not there."""

from __future__ import annotations

from urllib.parse import urlsplit

from flowdapt.domain.errors import StartRefused

__all__ = ["missing_library"]


def missing_library(url: str, extra: str, error: ImportError) -> StartRefused:
    """Return the error for a broker whose library cannot be imported."""
    return StartRefused(
        f"a broker at {urlsplit(url).scheme}:// needs a library that cannot be imported: {error}",
        code="start.broker_library",
        fix=f"pip install 'flowdapt[{extra}]'",
    )
