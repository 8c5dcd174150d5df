"""Find out before a switch whether runs will do well on an executor: one row for each thing looked at.

What only the executor can tell of itself (versions, storage) comes from `Executor.check`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from pydantic import ValidationError

from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.finding import Finding
from flowdapt.domain.names import new_run_name, new_uid
from flowdapt.domain.task import Failed, Finished, Lost, Outcome, RunInfo, TaskCall, ValueRef
from flowdapt.domain.wording import amount
from flowdapt.domain.workflow import Resources
from flowdapt.runtime.smoke import SMOKE_TARGET
from flowdapt.services.dispatch import impossible_needs

if TYPE_CHECKING:
    from flowdapt.domain.resource import Resource
    from flowdapt.ports.executor import Capacity, Executor
    from flowdapt.ports.store import Store

__all__ = ["own_rows", "passed", "preflight"]

# Importing flowdapt on a cold worker takes seconds.
_SMOKE_S = 60.0
_CHECK_S = 30.0
_NAMED_MAX = 10
_QUESTION_MAX = 1 << 20


async def preflight(name: str, executor: Executor, store: Store) -> list[Finding]:
    """Return what is found of an executor that is open. Nothing of it is an exception."""
    found = await own_rows(executor)
    deserted = next((one for one in found if one.code == "executor.no_workers"), None)
    found.append(_kept(executor))
    if deserted is None:
        found += await _needs(name, executor.capacity(), store)
    task = await _smoke(name, executor)
    found.append(task if deserted is None or task.level == "ok" else _nobody(deserted))
    return found


def _nobody(deserted: Finding) -> Finding:
    """Say of the small task what is the case, whatever the cluster's words for it are."""
    words = "no small task could run: there is no worker"
    return _failed("task", "executor.smoke_failed", words, deserted.fix)


async def own_rows(executor: Executor) -> list[Finding]:
    """Return what an executor finds of itself, within a bounded time; raise nothing."""
    try:
        with trio.fail_after(_CHECK_S):
            return list(await executor.check())
    except trio.TooSlowError:
        return [_failed("check", "executor.check_failed", f"its check took over {_CHECK_S:g} s")]
    except FlowdaptError as error:
        return [_failed("check", error.exact_code, error.message, error.fix or "")]
    # A stranger's executor may raise anything.
    except Exception as error:
        return [_failed("check", "executor.check_failed", f"{type(error).__name__}: {error}"[:500])]


def _kept(executor: Executor) -> Finding:
    """Say what a loss of the executor would cost."""
    words = "results are files here: a restart does nothing again"
    if executor.capabilities.keeps_results:
        words = (
            "large results stay on it until they are stored: "
            "losing it does stages again whose result was not"
        )
    return Finding(what="results", level="ok", words=words)


# -- what workflows need ---------------------------------------------------------------------------------


async def _needs(name: str, capacity: Capacity, store: Store) -> list[Finding]:
    found: list[Finding] = []
    cursor: str | None = None
    looked = 0
    while True:
        page = await store.list_resources("workflow", cursor=cursor, limit=500)
        looked += len(page.items)
        found += (one for resource in page.items for one in _of_workflow(name, resource, capacity))
        cursor = page.next
        if cursor is None:
            break
    if not found:
        words = f"it has what {amount(looked, 'workflow')} may ask for"
        return [Finding(what="resources", level="ok", words=words)]
    more = len(found) - _NAMED_MAX
    if more > 0:
        words = f"{amount(more, 'more workflow')} cannot have what is asked for"
        found[_NAMED_MAX:] = [_warning("resources", "executor.unmet_needs", words)]
    return found


def _of_workflow(name: str, resource: Resource, capacity: Capacity) -> Iterator[Finding]:
    workflow = resource.metadata.name
    for stage in resource.spec.get("stages", ()):
        lacking = _lacking(stage.get("resources"), capacity)
        if lacking is not None:
            need, wanted, there = lacking
            yield _warning(
                "resources",
                "executor.unmet_needs",
                f"workflow {workflow} asks {need}={wanted:g}, {name} has {there:g}: "
                "it would wait for ever",
                f"run it elsewhere:  flowdapt run {workflow} --on NAME",
            )
            return


def _lacking(needs: Any, capacity: Capacity) -> tuple[str, float, float] | None:
    try:
        return impossible_needs(Resources.model_validate(needs or {}), capacity)
    except ValidationError:  # written by another release: it is told when it is applied again
        return None


# -- the smoke task --------------------------------------------------------------------------------------


async def _smoke(name: str, executor: Executor) -> Finding:
    """Run the smallest stage, and look at its answer."""
    call, wanted = _smoke_call(name)
    began = trio.current_time()
    try:
        with trio.fail_after(_SMOKE_S):
            outcome = await executor.execute(call, lambda _event: None)
    except trio.TooSlowError:
        return _smoke_failed(name, f"a small task did not end within {_SMOKE_S:g} s")
    except FlowdaptError as error:
        return _smoke_failed(
            name, f"a small task could not be run: {error.message}", error.fix or ""
        )
    except Exception as error:
        return _smoke_failed(name, f"a small task broke it: {type(error).__name__}: {error}"[:500])
    finally:
        with trio.move_on_after(1.0, shield=True):
            await executor.forget(call.run.uid)
    took_ms = (trio.current_time() - began) * 1000
    return _judged(name, outcome, wanted, took_ms)


def _smoke_call(name: str) -> tuple[TaskCall, dict[str, int]]:
    uid = new_uid()
    question = secrets.randbelow(_QUESTION_MAX)
    data = msgspec.json.encode({"question": question})
    run = RunInfo(
        uid=uid,
        name=new_run_name(uid),
        workflow="smoke",
        revision=1,
        namespace="default",
        executor=name,
        source="check",
        input=ValueRef(kind="inline", data=data, size_bytes=len(data)),
    )
    call = TaskCall(
        run=run,
        stage="answer",
        target=SMOKE_TARGET,
        task_key=f"{uid}/answer/0",
        attempt=1,
        epoch=1,
        bind="input",
        start_timeout_s=_SMOKE_S,
    )
    return call, {"question": question, "answer": question * question}


def _judged(name: str, outcome: Outcome, wanted: dict[str, int], took_ms: float) -> Finding:
    if isinstance(outcome, Failed | Lost):
        error = outcome.error
        return _smoke_failed(
            name, f"a small task failed there: {error.type}: {error.message}"[:500]
        )
    if not isinstance(outcome, Finished):
        return _smoke_failed(name, "a small task was stopped")
    if _decoded(outcome.value) != wanted:
        return _smoke_failed(name, "a small task came back with a wrong answer")
    return Finding(what="task", level="ok", words=f"a small task ran in {took_ms:.0f} ms")


def _decoded(value: ValueRef) -> object:
    if value.kind != "inline" or value.codec != "json":
        return None
    try:
        return msgspec.json.decode(value.data)
    except msgspec.DecodeError:
        return None


def _smoke_failed(name: str, words: str, fix: str = "") -> Finding:
    look = f"look at its workers and their logs:  flowdapt executor workers {name}"
    return _failed("task", "executor.smoke_failed", words, fix or look)


def _failed(what: str, code: str, words: str, fix: str = "") -> Finding:
    return Finding(what=what, level="failed", words=words, code=code, fix=fix)


def _warning(what: str, code: str, words: str, fix: str = "") -> Finding:
    return Finding(what=what, level="warning", words=words, code=code, fix=fix)


def passed(findings: Sequence[Finding]) -> bool:
    """Say whether nothing speaks against a switch."""
    return all(finding.level != "failed" for finding in findings)
