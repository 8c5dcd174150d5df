"""Calls about executors: profiles, workers, checks, and the switch from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints.making import listed, nothing, request
from flowdapt.client.wire import Call, Response, json_of
from flowdapt.domain.executor_names import BACK

if TYPE_CHECKING:
    from flowdapt.domain.executor_profile import Checked, ExecutorView, Switched

__all__ = ["add", "check", "get", "list_", "remove", "switch", "workers"]

# A cluster that is started for it may take three minutes, and is then looked at.
_OPENING_S = 300.0


def _view_of(found: Any) -> ExecutorView:
    from flowdapt.domain.executor_profile import ExecutorView

    return ExecutorView.model_validate(found)


def _view(response: Response) -> ExecutorView:
    return _view_of(json_of(response))


def _views(response: Response) -> list[ExecutorView]:
    return [_view_of(one) for one in listed(response)]


def _checked(response: Response) -> Checked:
    from flowdapt.domain.executor_profile import Checked

    return Checked.model_validate(json_of(response))


def _switched(response: Response) -> Switched:
    from flowdapt.domain.executor_profile import Switched

    return Switched.model_validate(json_of(response))


def list_() -> Call[list[ExecutorView]]:
    """List the executors, the built-in ones among them."""
    return Call(request("GET", "executors"), _views)


def get(name: str) -> Call[ExecutorView]:
    return Call(request("GET", "executors", name), _view)


def add(name: str, kind: str, options: Mapping[str, Any] | None = None) -> Call[ExecutorView]:
    """Store a profile; nothing is opened."""
    content = {"name": name, "kind": kind, "options": dict(options or {})}
    return Call(request("POST", "executors", content=content), _view)


def remove(name: str) -> Call[None]:
    return Call(request("DELETE", "executors", name), nothing)


def workers(name: str) -> Call[list[dict[str, Any]]]:
    """List the workers of an executor as they are now."""
    return Call(request("GET", "executors", name, "workers"), listed)


def check(name: str) -> Call[Checked]:
    """Open the executor (`-`: the one before) where it is not open, look at it, and run a small task on it."""
    return Call(request("POST", "executors", name, "check", patience_s=_OPENING_S), _checked)


def switch(name: str, *, insecure: bool = False, keep_going: bool = False) -> Call[Switched]:
    """Check an executor and make it the active one; what failed a check is no error."""
    content = {"name": name, "insecure": insecure, "keep_going": keep_going}
    made = request("PUT", "active-executor", content=content, patience_s=_OPENING_S)
    # Going back twice is being where one was.
    return Call(replace(made, once=name == BACK), _switched)
