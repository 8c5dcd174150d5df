"""Find out that a cluster has another Ray or Python than we do: a driver of another version may hang without a word."""

from __future__ import annotations

import json
import platform
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["compare_with_head", "note_refusal"]

_ASK_S = 3
_METADATA = (b"CLUSTER_METADATA", b"cluster")


def compare_with_head(place: tuple[str, int] | None, tell: Callable[[str], None]) -> None:
    """Ask the head which versions it has; raise ConnectionError when they are others."""
    if place is None:
        return
    found: Mapping[str, Any] = {}
    # Not a public part of Ray: where it is missing, connecting itself may still tell.
    with suppress(Exception):
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # its stub leaves it out

        client = GcsClient(address=f"{place[0]}:{place[1]}")
        found = json.loads(client.internal_kv_get(*_METADATA, timeout=_ASK_S))
    if words := _difference(found):
        tell(words)
        raise ConnectionError(words)


def note_refusal(tell: Callable[..., None]) -> None:
    """Have it told why a client server will not have us: Ray may hang while it takes its leave.

    `tell` gets the words, and `misfit`: whether both sides have other versions.
    """
    with suppress(Exception):
        from ray.util import client as module

        client: Any = module
        leave = client._ClientContext.disconnect  # noqa: SLF001  (there is no other moment)

        def note_and_leave(context: Any) -> None:
            error = sys.exc_info()[1]
            if error is not None:
                tell(_in_short(error), misfit="ersion" in str(error))
            leave(context)

        client._ClientContext.disconnect = note_and_leave  # noqa: SLF001  (as above)


def _difference(there: Mapping[str, Any]) -> str:
    here = {"ray": ray.__version__, "python": platform.python_version()}
    told = {
        "ray": str(there.get("ray_version", "")),
        "python": str(there.get("python_version", "")),
    }
    words = []
    if told["ray"] and told["ray"] != here["ray"]:
        words.append(f"it has Ray {told['ray']}, here is {here['ray']}")
    if told["python"] and _minor(told["python"]) != _minor(here["python"]):
        words.append(f"it has Python {told['python']}, here is {here['python']}")
    return " and ".join(words)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _in_short(error: BaseException) -> str:
    """Return the first line and the last one: between them Ray puts the traceback of the other side."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:1] + lines[1:][-1:]) or type(error).__name__
