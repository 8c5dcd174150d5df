"""Stages are tested by calling them, with a context as real as a worker's."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from flowdapt import artifacts, get_run_context, objects
from flowdapt.domain.errors import FlowdaptError, MissingArtifact, OutsideStage
from flowdapt.testing import StageBench, pytest_plugin, run_stage

ROOT = Path(__file__).parents[2]
# As the entry point gives it, also where flowdapt is not installed but lies on the path.
stage_bench = pytest_plugin.stage_bench


def train(rows: list[int], depth: int = 2) -> float:
    context = get_run_context()
    for step, row in enumerate(rows):
        context.progress(step + 1, len(rows))
        context.metric("loss", 1 / row)
    context.logger.info("trained on %d rows", len(rows))
    return sum(rows) * depth * context.config.get("factor", 1)


def test_a_stage_takes_the_results_of_its_dependencies() -> None:
    assert run_stage(train, [1, 2]).value == 6


def test_a_stage_takes_the_runs_input_by_name() -> None:
    assert run_stage(train, input={"rows": [1, 2], "depth": 3, "other": 0}).value == 9


def test_a_missing_input_is_named() -> None:
    with pytest.raises(FlowdaptError, match="rows"):
        run_stage(train, input={"depth": 3})


def test_what_a_stage_says_is_reported() -> None:
    report = run_stage(train, [1, 2, 4], config={"factor": 10})
    assert report.value == 140
    assert report.metrics == {"loss": [(0, 1.0), (1, 0.5), (2, 0.25)]}
    assert (report.progress[-1].done, report.progress[-1].total) == (3, 3)
    assert [line.text for line in report.logs] == ["trained on 3 rows"]


def test_what_a_stage_raises_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        run_stage(train, [0])
    with pytest.raises(OutsideStage):
        get_run_context()


def test_the_context_is_what_the_test_says() -> None:
    def stage(item: int) -> tuple[object, ...]:
        context = get_run_context()
        return item, context.index, context.attempt, context.namespace, context.secrets["KEY"]

    report = run_stage(stage, 5, index=7, attempt=2, namespace="lab", secrets={"KEY": "s"})
    assert report.value == (5, 7, 2, "lab", "s")


def test_the_context_comes_as_a_keyword_too() -> None:
    def stage(x: int, *, context) -> str:
        return f"{x} in {context.stage}"

    assert run_stage(stage, 1).value == "1 in stage"


def test_a_stage_that_awaits_is_awaited() -> None:
    async def stage(x: int) -> str:
        await asyncio.sleep(0)
        return f"{x} in {get_run_context().stage}"

    assert run_stage(stage, 1).value == "1 in stage"


def test_logs_of_libraries_are_reported_and_the_level_put_back() -> None:
    before = logging.getLogger().level

    def stage() -> None:
        logging.getLogger("library").info("hello")

    assert [line.logger for line in run_stage(stage).logs] == ["library"]
    assert logging.getLogger().level == before


def test_stages_on_one_bench_share_artifacts_and_objects(stage_bench: StageBench) -> None:
    def write() -> None:
        artifacts.put("model", {"a": 1})
        objects.put("key", 5)

    def read() -> tuple[object, object]:
        return artifacts.get("model"), objects.get("key")

    stage_bench.run(write)
    assert stage_bench.run(read).value == ({"a": 1}, 5)
    with stage_bench.stage():
        assert artifacts.get_artifact("model").metadata == {}
        artifacts.put("more", 1)
    assert stage_bench.run(lambda: artifacts.exists("more")).value


def test_two_benches_share_nothing() -> None:
    with StageBench() as one, StageBench() as two:
        one.run(lambda: artifacts.put("model", 1))
        with pytest.raises(MissingArtifact):
            two.run(lambda: artifacts.get("model"))


def test_a_bench_leaves_nothing_behind() -> None:
    with StageBench() as bench:
        bench.run(lambda: objects.put("key", b"x" * 100_000))
        folder = Path(bench._environment.memory_root).parent
        assert list(folder.rglob("*"))
    assert not folder.exists()


def test_the_fixture_is_found_by_pytest_and_costs_it_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import sys

            def test_nothing_is_loaded():
                assert not {"pydantic", "trio", "fsspec", "msgspec"} & set(sys.modules)

            def test_bench(stage_bench):
                assert stage_bench.run(lambda: 5).value == 5
        """)
    )
    plugin = ["-p", "no:flowdapt", "-p", "flowdapt.testing.pytest_plugin"]
    others = [
        "-p",
        "no:trio",
        "-p",
        "no:hypothesispytest",
        "-p",
        "no:schemathesis",
        "-p",
        "no:anyio",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, *others, *plugin, str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_fixture_is_declared_to_pytest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"flowdapt": "flowdapt.testing.pytest_plugin"}
