"""A stranger's executor, installed as a stranger would: a fresh environment, pip, the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.lacking import lacking

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "executor_plugin"

pytestmark = [pytest.mark.slow, pytest.mark.clusters]


class Stranger:
    """An environment that nothing was installed into but flowdapt and the example, and a home."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.project = folder / "plugin"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))},
            "FLOWDAPT_HOME": str(home),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        # A build must leave nothing behind in the checkout.
        shutil.copytree(EXAMPLE, self.project, ignore=shutil.ignore_patterns("__pycache__"))
        venv.create(folder / "venv", with_pip=True)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; what it prints is what it returns."""
        return subprocess.run(
            [str(self.folder / "venv" / "bin" / program), *arguments],
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def must(self, program: str, *arguments: str) -> str:
        """Run it, and fail with what it said when it does not end well."""
        done = self.run(program, *arguments)
        assert done.returncode == 0, f"{program} {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    folder = tmp_path_factory.mktemp("stranger")
    made = Stranger(folder, folder / "home")
    # What builds the wheels is a small thing to fetch: without it there is no index in reach.
    fetched = made.run("pip", "download", "-q", "--no-deps", "-d", str(folder), "hatchling")
    if fetched.returncode:
        raise lacking(f"NOT TESTED: no package index can be reached: {fetched.stdout[-300:]}")
    # Most of what comes along is never imported here: compiling it would take as long as the rest.
    made.must("pip", "install", "-q", "--no-compile", str(ROOT), f"{made.project}[test]")
    return made


def test_the_example_keeps_the_contract_where_nothing_else_is_installed(
    stranger: Stranger,
) -> None:
    said = stranger.must("python", "-P", "-m", "pytest", "-q", "tests")
    assert " passed" in said
    assert "skipped" not in said


def test_flowdapt_finds_the_kind_that_it_brings(stranger: Stranger) -> None:
    kinds = "from flowdapt.plugins.manager import Plugins; print(Plugins().executor_kinds())"
    assert "'command'" in stranger.must("python", "-P", "-c", kinds)


STAGE = """
import os

from flowdapt import get_run_context


def where():
    print("said over there")
    return [os.nice(0), get_run_context().executor]
"""
WORKFLOW = """
kind: workflow
metadata: {name: where}
spec:
  stages: [{name: where, target: user_modules.where.where}]
"""


def test_a_workflow_moves_there_by_one_command_and_back(stranger: Stranger) -> None:
    home = Path(stranger.environment["FLOWDAPT_HOME"])
    (home / "user_modules").mkdir(parents=True)
    (home / "user_modules" / "where.py").write_text(STAGE)
    (stranger.project / "where.yaml").write_text(WORKFLOW)
    here = os.nice(0)
    try:
        stranger.must("flowdapt", "apply", "where.yaml")
        assert f'[{here}, "local"]' in stranger.must("flowdapt", "run", "where")

        options = ("--option", "prefix=nice -n 5", "--option", "slots=3")
        stranger.must("flowdapt", "executor", "add", "node7", "command", *options)
        assert "node7 can be used" in stranger.must("flowdapt", "executor", "check", "node7")
        stranger.must("flowdapt", "use", "node7")
        there = stranger.must("flowdapt", "run", "where")
        assert f'[{here + 5}, "node7"]' in there
        run = there.split("finished", 1)[1].split()[0]
        assert "said over there" in stranger.must("flowdapt", "logs", run)

        stranger.must("flowdapt", "use", "-")
        assert f'[{here}, "local"]' in stranger.must("flowdapt", "run", "where")
        refused = stranger.run(
            "flowdapt", "executor", "add", "node8", "command", "--option", "slot=1"
        )
        assert refused.returncode == 5
        assert "command has no option 'slot'" in refused.stdout
    finally:
        stranger.must("flowdapt", "down", "--now")
