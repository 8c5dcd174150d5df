"""Every example is complete, valid and says how to run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowdapt.domain.config import ConfigSpec, merge
from flowdapt.domain.documents import read
from flowdapt.domain.resource import Resource
from flowdapt.domain.validation import check_all
from tests.docs.commands import calls_in, fault_of_call, fault_of_mention

EXAMPLES = Path(__file__).parents[2] / "examples"
# A plugin is a distribution of its own, with tests of its own (tests/e2e/test_executor_plugin.py).
PROJECTS = sorted(
    path for path in EXAMPLES.iterdir() if path.is_dir() and not (path / "pyproject.toml").exists()
)


def resources(project: Path) -> list[Resource]:
    (path,) = project.glob("*.yaml")
    documents, problems = read(path.read_text(encoding="utf-8"), source=str(path))
    checked = check_all(documents)
    problems += [problem for one in checked for problem in one.problems]
    assert problems == []
    assert [one.warnings for one in checked if one.warnings] == []
    return [one.resource for one in checked if one.resource is not None]


def test_there_are_three_examples() -> None:
    assert [p.name for p in PROJECTS] == ["nowcast_like", "retry_and_partial", "weather"]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_the_documents_are_valid_and_doubtless(project: Path) -> None:
    assert {"workflow"} <= {resource.kind for resource in resources(project)}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_every_target_is_a_function_of_the_project(project: Path) -> None:
    for resource in resources(project):
        for stage in resource.spec.get("stages", []):
            module, name = re.split(r"[.:](?=[^.:]+$)", stage["target"])
            package, _, file = module.partition(".")
            assert package == "user_modules"
            source = (project / package / f"{file}.py").read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", source, re.MULTILINE), stage["target"]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_the_readme_runs_every_workflow(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    for resource in resources(project):
        if resource.kind == "workflow":
            assert f"flowdapt run {resource.metadata.name}" in readme


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_the_commands_of_the_readme_are_understood(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    calls = [call for block in shown for line in block.splitlines() for call in calls_in(line)]
    mentioned = [mention.split() for mention in re.findall(r"`flowdapt ([^`\n]+)`", readme)]
    assert len(calls) >= 3
    assert [fault for call in calls if (fault := fault_of_call(call))] == []
    assert [fault for words in mentioned if (fault := fault_of_mention(words))] == []


def test_in_the_nowcast_the_name_beats_the_annotation_in_depth() -> None:
    found = resources(EXAMPLES / "nowcast_like")
    configs = [(r.metadata.name, ConfigSpec(**r.spec)) for r in found if r.kind == "config"]
    annotations = {"group": "nowcast"}
    general = merge("build_features", annotations, configs)
    special = merge("train_models", annotations, configs)
    assert general["model_train_parameters"] == {"level": 0.2, "season": 0.5}
    assert special["model_train_parameters"] == {"level": 0.05, "season": 0.5}
    assert special["hours"] == general["hours"]
