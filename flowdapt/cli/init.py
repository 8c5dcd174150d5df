"""The command that makes a small working project: `flowdapt init DIR`.

What it writes is small on purpose: three stages, one of them mapped, a test that needs no daemon.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from flowdapt.cli.grammar import Arg, Commands
from flowdapt.cli.session import Session
from flowdapt.domain.errors import Conflict
from flowdapt.domain.names import check_name

commands = Commands()

_WORKFLOW = """\
# Three stages: cut the work, do each part, put it together.
#   flowdapt apply -f workflow.yaml
#   flowdapt run {name} --follow
kind: workflow
metadata:
  name: {name}
  annotations: {{project: {name}}}
spec:
  timeout: 10m
  stages:
    - name: split
      target: user_modules.{module}.split      # a root stage takes the run's input by name

    - name: work
      target: user_modules.{module}.work
      type: parameterized                      # once per part, in parallel
      depends_on: [split]
      retry: {{max_attempts: 2}}

    - name: report
      target: user_modules.{module}.report     # takes the results of `work`, in their order
      depends_on: [work]
"""

_MODULE = '''\
"""The stages of {name}: plain functions. An edit is picked up by the next run."""

from flowdapt import get_run_context


def split(n: int = 8) -> list[int]:
    """Cut the work into parts."""
    return list(range(1, n + 1))


def work(part: int) -> float:
    """Do one part; what is logged here shows in `flowdapt logs RUN`."""
    value = sum(1 / k**2 for k in range(1, part * 10_000))
    get_run_context().logger.info("part %d: %.6f", part, value)
    return value


def report(values: list[float]) -> dict[str, float]:
    """Put the parts together; a metric shows in `flowdapt runs metrics RUN`."""
    best = max(values)
    get_run_context().metric("best", best, step=0)
    return {{"parts": len(values), "best": best}}
'''

_TEST = '''\
"""Tests that need no daemon: stages are functions, and a workflow runs in this process."""

from pathlib import Path

from ruamel.yaml import YAML

from flowdapt import execute_workflow
from user_modules.{module} import split

WORKFLOW = YAML(typ="safe").load(Path(__file__).parents[1] / "workflow.yaml")


def test_the_work_is_cut_into_parts():
    assert split(3) == [1, 2, 3]


def test_the_workflow_reports_every_part():
    result = execute_workflow(WORKFLOW, {{"n": 3}})
    assert result["parts"] == 3
    assert 1.6 < result["best"] < 1.65
'''

_CONFTEST = '''\
"""Let tests import `user_modules` as workers do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "home"))
'''

_README = """\
# {name}

```console
$ export FLOWDAPT_HOME="$PWD/home"      # everything that flowdapt keeps stays in this folder
$ flowdapt apply -f workflow.yaml
$ flowdapt run {name} --n 12 --follow
$ python -m pytest                      # needs no daemon
```

| File | Is |
|---|---|
| `workflow.yaml` | the workflow: which functions, in which order |
| `home/user_modules/{module}.py` | the functions |
| `tests/test_{module}.py` | their tests |

`flowdapt logs RUN`, `flowdapt runs why RUN` and `flowdapt explain workflow.stages` tell more.
"""

_IGNORED = "home/*\n!home/user_modules/\n__pycache__/\n"


@commands.add("init")
def init(
    session: Session,
    directory: Annotated[Path, Arg("where; made when it is not there", "DIR", "file")],
) -> None:
    """Make a small working project."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", directory.absolute().name).strip("_").lower() or "project"
    name = check_name(name if name[0].isalpha() else f"project_{name}")
    files = project_files(name)
    there = [path for path in files if (directory / path).exists()]
    if there:
        raise Conflict(
            f"{directory / there[0]} exists already",
            code="init.exists",
            fix="choose an empty directory",
        )
    for path, content in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    written = [str(directory / path) for path in files]

    def show() -> None:
        for one in written:
            session.screen.data(one)

    session.output.one({"name": name, "files": written}, show)
    session.screen.flush()
    session.screen.note()
    session.screen.note("What next", "bold")
    session.screen.note(f'  cd {directory} && export FLOWDAPT_HOME="$PWD/home"')
    session.screen.note(f"  flowdapt apply -f workflow.yaml && flowdapt run {name} --follow")


def project_files(name: str) -> dict[str, str]:
    """Return the project's files by path. The home is private: it holds the daemon's socket."""
    words = {"name": name, "module": name}
    return {
        "workflow.yaml": _WORKFLOW.format(**words),
        f"home/user_modules/{name}.py": _MODULE.format(**words),
        f"tests/test_{name}.py": _TEST.format(**words),
        "conftest.py": _CONFTEST,
        "README.md": _README.format(**words),
        ".gitignore": _IGNORED,
    }
