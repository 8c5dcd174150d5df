"""What a process tells of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from flowdapt import __version__
from flowdapt.runtime.facts import facts

if TYPE_CHECKING:
    from pathlib import Path

CODE = "import json; from flowdapt.runtime.facts import facts; print(json.dumps(facts()))"


def test_a_process_tells_its_versions_and_its_machine() -> None:
    told = facts(["msgspec", "no-such-library"], gpus=2.0)
    assert told["flowdapt"] == __version__
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["libraries"] == {"msgspec": version("msgspec")}
    assert told["gpus"] == 2.0
    assert told["cpus"] >= 1
    assert told["uid"] == os.getuid()
    assert json.loads(json.dumps(told)) == told


def test_nothing_is_imported_to_tell_of_it() -> None:
    code = CODE + "; import sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told, loaded = map(json.loads, done.stdout.splitlines())
    assert {"numpy", "msgspec"} <= set(told["libraries"])
    assert not set(loaded) & set(told["libraries"])
    assert "pydantic" not in loaded


def test_an_installed_plugin_is_told_with_its_version_and_whether_it_is_editable(
    tmp_path: Path,
) -> None:
    _distribution(tmp_path, "nowcast", "0.4.1", editable=True)
    _distribution(tmp_path, "solid", "2.0", editable=False)
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)["plugins"]
    assert told["nowcast"] == {
        "distribution": "flowdapt-nowcast", "version": "0.4.1", "editable": True
    }  # fmt: skip
    assert told["solid"]["editable"] is False


def _distribution(folder: Path, name: str, release: str, *, editable: bool) -> None:
    info = folder / f"flowdapt_{name}-{release}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: flowdapt-{name}\nVersion: {release}\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[flowdapt.plugins]\n{name} = {name}.plugin\n")
    if editable:
        origin = {"url": "file:///somewhere", "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(origin))
