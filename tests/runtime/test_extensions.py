"""What plugins declare for workers: called once, formats added, a broken one left out."""

from __future__ import annotations

import pytest

from flowdapt.runtime import formats
from flowdapt.runtime.extensions import start_extensions
from flowdapt.runtime.formats import BytesFormat, get_format


class Upper(BytesFormat):
    name = "upper"
    suffix = ".upper"


@pytest.fixture(autouse=True)
def _only_built_in_formats():
    before = dict(formats._formats)
    yield
    formats._formats.clear()
    formats._formats.update(before)


def test_a_format_is_added_and_a_callable_called() -> None:
    called: list[str] = []
    known = {"p:Upper": Upper, "p:start": lambda: called.append("start")}
    assert start_extensions(known, known.__getitem__) == {}
    assert get_format("upper").suffix == ".upper"
    assert called == ["start"]


def test_a_broken_one_is_told_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise RuntimeError("no")

    known = {"p:broken": broken, "p:Upper": Upper}
    failed = start_extensions(["p:missing", *known], known.__getitem__)
    assert failed == {"p:missing": "KeyError: 'p:missing'", "p:broken": "RuntimeError: no"}
    assert get_format("upper")
    assert "extension p:broken is left out" in capsys.readouterr().err
