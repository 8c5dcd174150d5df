"""`flowdapt demo`, as a person types it on a fresh machine: it runs, it tells, it leaves no trace."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowdapt.demo import ARTIFACT_PREFIX, CONFIG, RESOURCES
from tests.e2e.shells import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shell() -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    shell = Shell(folder / "h")
    yield shell
    shell("down", "--now", "--timeout", "20")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_the_demo_runs_tells_what_came_out_and_is_removed_whole(shell: Shell) -> None:
    done = shell("demo", ok=True)
    assert "✔ finished" in done.stdout
    rows = [
        line.split() for line in done.stdout.splitlines() if line.startswith(("EWR", "JFK", "LGA"))
    ]
    assert len(rows) == 6
    assert all(float(model) < float(naive) for *_, model, naive, _, _ in rows), (
        "better than the naive forecast"
    )
    assert "flowdapt demo --clean" in done.stderr
    assert [
        one["name"]
        for one in shell.json("artifact", "ls")["items"]
        if one["name"].startswith(ARTIFACT_PREFIX)
    ]
    assert shell("run", "weather_predict", "--result-only").returncode == 0

    edited = shell.home / "edited.yaml"
    config = shell("get", "config", CONFIG, "-o", "yaml", ok=True).stdout
    edited.write_text(config.replace("folds: 4", "folds: 3"))
    shell("apply", "-f", str(edited), ok=True)
    assert f"kept config {CONFIG}" in shell("demo", ok=True).stderr
    assert shell.json("get", "config", CONFIG)["spec"]["data"]["model"]["folds"] == 3
    edited.unlink()

    cleaned = shell("demo", "--clean", ok=True)
    assert "removed" in cleaned.stderr
    assert shell.json("artifact", "ls")["items"] == []
    assert shell.json("runs", "ls")["items"] == []
    for kind, name in RESOURCES:
        assert shell("get", kind, name).returncode == 3
    assert not [path for path in (shell.home / "values").rglob("*") if path.is_file()]
    assert {one["level"] for one in shell.json("doctor")["items"]} == {"ok"}
    assert shell("demo", "--clean").returncode == 0, "nothing to remove is no error"


def test_without_its_packages_the_demo_says_what_to_install(shell: Shell, tmp_path: Path) -> None:
    """An installation without the extra: sklearn cannot be found."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'sklearn' else real(name, package)\n"
    )
    done = shell("demo", PYTHONPATH=str(tmp_path))
    assert done.returncode == 7
    assert "sklearn" in done.stderr
    assert "fix:  python -m pip install 'flowdapt[demo]'" in done.stderr
    assert not (shell.home / "daemon.lock").exists(), "found out before anything is started"
