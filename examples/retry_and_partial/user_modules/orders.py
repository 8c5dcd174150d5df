"""Stages that fail on purpose: for a moment, for good, and by not answering."""

import time

from flowdapt import get_run_context

FILES = {
    "monday.csv": "12.50\n7.25\n",
    "tuesday.csv": "3.00\n9.75\n",
    "wednesday.csv": "8.00\ntwelve\n",
    "thursday.csv": "1.50\n",
}


def list_files() -> list[str]:
    """List the files of the week."""
    return list(FILES)


def read_file(name: str) -> dict:
    """Read one file's amounts."""
    if name == "tuesday.csv" and get_run_context().attempt == 1:
        raise BlockingIOError(f"{name} is being written")  # an OSError: tried again
    amounts = [float(line) for line in FILES[name].splitlines()]  # a ValueError: not
    return {"file": name, "amounts": amounts}


def add_up(files: list) -> dict:
    """Add up what could be read and say how much is missing."""
    read = [file for file in files if file is not None]
    return {
        "total": sum(amount for file in read for amount in file["amounts"]),
        "read": [file["file"] for file in read],
        "missing": len(files) - len(read),
    }


def ask_slow_service() -> str:
    """Ask a service that does not answer the first time."""
    if get_run_context().attempt == 1:
        time.sleep(3600)
    return "answered"
