"""`import flowdapt` gives a stage author every name, and loads none before it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import flowdapt


def test_every_public_name_is_there() -> None:
    for name in flowdapt.__all__:
        assert getattr(flowdapt, name) is not None
    assert set(flowdapt.__all__) <= set(dir(flowdapt))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = flowdapt.nonsense
    with pytest.raises(ImportError):
        from flowdapt import nonsense  # noqa: F401


def loaded_by(code: str) -> set[str]:
    tail = "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_the_package_alone_loads_none_of_its_modules() -> None:
    assert {name for name in loaded_by("import flowdapt") if name.startswith("flowdapt")} == {
        "flowdapt"
    }


def test_what_stages_import_loads_no_heavy_library() -> None:
    heavy = {
        "trio", "pydantic", "structlog", "fsspec", "pluggy", "pandas", "pyarrow", "numpy",
        "cloudpickle", "asyncio", "sqlalchemy",
    }  # fmt: skip
    loaded = loaded_by("from flowdapt import artifacts, get_run_context, objects, NonRetryable")
    assert not loaded & heavy
