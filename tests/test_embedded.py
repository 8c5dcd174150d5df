"""Workflows run in the test's own process, as users test theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from flowdapt import artifacts, embedded, execute_workflow, get_run_context, objects
from flowdapt.domain.errors import InvalidDocument, InvalidInput
from flowdapt.embedded import WorkflowFailed, execute_workflow_async
from flowdapt.runtime import formats


def workflow(*stages: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"kind": "workflow", "metadata": {"name": "w"}, "spec": {"stages": list(stages), **spec}}


def numbers(n: int) -> list[int]:
    return list(range(n))


def square(x: int) -> int:
    return x * x


def total(squares: list[int]) -> int:
    return sum(squares)


SQUARES = workflow(
    {"name": "numbers", "target": numbers},
    {"name": "square", "target": square, "type": "parameterized", "depends_on": ["numbers"]},
    {"name": "total", "target": total, "depends_on": ["square"]},
)


def test_functions_may_be_targets_and_the_result_is_returned() -> None:
    assert execute_workflow(SQUARES, {"n": 4}) == 14


def test_values_that_are_not_json_pass_between_stages_and_out() -> None:
    result = execute_workflow(
        workflow(
            {"name": "make", "target": lambda: {1, 2}},
            {"name": "add", "target": lambda found: found | {3}, "depends_on": ["make"]},
        )
    )
    assert result == {1, 2, 3}


def test_several_leaves_give_a_mapping_by_stage() -> None:
    result = execute_workflow(
        workflow({"name": "a", "target": lambda: 1}, {"name": "b", "target": lambda: {2}})
    )
    assert result == {"a": 1, "b": {2}}


def test_context_config_objects_and_artifacts_are_there() -> None:
    def first() -> str:
        context = get_run_context()
        context.metric("loss", 0.5)
        context.progress(1, 2)
        objects.put("key", [1, 2])
        artifacts.put("table", {"a": 1})
        return str(context.config["model"]["depth"]) + context.namespace

    def second(text: str) -> list[Any]:
        return [text, objects.get("key"), artifacts.get("table")]

    config = {
        "kind": "config",
        "metadata": {"name": "c"},
        "spec": {
            "selector": {"type": "name", "value": "w"},
            "data": {"model": {"depth": 3, "width": 1}},
        },
    }
    documents = [
        workflow(
            {"name": "a", "target": first}, {"name": "b", "target": second, "depends_on": ["a"]}
        ),
        config,
    ]
    result = execute_workflow(documents, config={"model": {"depth": 9}}, namespace="lab")
    assert result == ["9lab", [1, 2], {"a": 1}]


def test_what_a_stage_raises_is_told_with_its_traceback() -> None:
    def broken() -> None:
        raise ValueError("no such city")

    with pytest.raises(WorkflowFailed, match="no such city") as caught:
        execute_workflow(workflow({"name": "a", "target": broken}))
    assert caught.value.run.error is not None
    assert caught.value.run.error.type == "builtins.ValueError"
    assert "broken" in str(caught.value)


def test_coroutine_functions_run() -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return 7

    assert execute_workflow(workflow({"name": "a", "target": later})) == 7


def test_retry_happens_here_too() -> None:
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("busy")
        return len(tries)

    retry = {"max_attempts": 3, "initial": "10ms"}
    assert execute_workflow(workflow({"name": "a", "target": flaky, "retry": retry})) == 3


def test_documents_are_validated_as_at_apply() -> None:
    with pytest.raises(InvalidDocument, match="b"):
        execute_workflow(workflow({"name": "a", "target": numbers, "depends_on": ["b"]}))


def test_the_input_is_checked_by_its_schema() -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    checked = workflow({"name": "numbers", "target": numbers}, input_schema=schema)
    assert execute_workflow(checked, {"n": 2}) == [0, 1]
    with pytest.raises(InvalidInput):
        execute_workflow(checked, {"n": "two"})


def test_a_file_of_documents_and_user_modules_run(tmp_path: Path) -> None:
    (tmp_path / "user_modules").mkdir()
    (tmp_path / "user_modules" / "sums.py").write_text("def double(x):\n    return 2 * x\n")
    file = tmp_path / "w.yaml"
    file.write_text(
        "kind: workflow\nmetadata: {name: w}\nspec:\n  stages:\n"
        "    - {name: a, target: user_modules.sums.double}\n"
    )
    assert execute_workflow(file, {"x": 21}, user_modules=tmp_path / "user_modules") == 42


def test_it_works_beside_a_running_asyncio_loop_and_is_awaited_from_both() -> None:
    async def blocking() -> Any:
        return execute_workflow(SQUARES, {"n": 3})

    assert asyncio.run(blocking()) == 5
    assert asyncio.run(execute_workflow_async(SQUARES, {"n": 3})) == 5

    async def from_trio() -> Any:
        return await execute_workflow_async(SQUARES, {"n": 3})

    assert trio.run(from_trio) == 5


@pytest.fixture
def nowcast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed plugin that brings a format."""
    about = tmp_path / "nowcast-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nowcast\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[flowdapt.plugins]\nnowcast = nowcast_hooks\n")
    (tmp_path / "nowcast_hooks.py").write_text(
        "from flowdapt.plugins import hookimpl\n"
        "@hookimpl\n"
        "def flowdapt_formats():\n"
        "    return {'lines': 'nowcast_parts:Lines'}\n"
    )
    (tmp_path / "nowcast_parts.py").write_text(
        "from flowdapt.runtime.formats import Format\n"
        "class Lines(Format):\n"
        "    name, suffix = 'lines', '.lines'\n"
        "    def accepts(self, value): return False\n"
        "    def write(self, value, file): file.write('\\n'.join(value).encode())\n"
        "    def read(self, file): return file.read().decode().split()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(formats._formats)
    embedded._extensions.cache_clear()
    yield
    embedded._extensions.cache_clear()
    formats._formats.clear()
    formats._formats.update(before)


@pytest.mark.usefixtures("nowcast")
def test_formats_of_installed_plugins_work_here_too() -> None:
    def save() -> Any:
        artifacts.put("words", ["a", "b"], format="lines")
        return artifacts.get("words")

    assert execute_workflow(workflow({"name": "save", "target": save})) == ["a", "b"]


def test_pytest_shows_the_call_and_none_of_our_frames() -> None:
    def bad() -> None:
        raise KeyError("x")

    with pytest.raises(WorkflowFailed, match="in bad") as failed:
        execute_workflow(workflow({"name": "bad", "target": bad}))
    ours = [frame for frame in failed.traceback if Path(frame.path).name == "embedded.py"]
    assert ours
    assert all(frame.ishidden(failed) for frame in ours)
