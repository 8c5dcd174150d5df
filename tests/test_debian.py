from __future__ import annotations

import pytest

from tests.debian import find_program


def test_a_program_that_is_missing_fails_on_ci_and_skips_elsewhere_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install .* chromium$"):
        find_program("chromium", "google-chrome", package="chromium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no chromium on this machine"):
        find_program("chromium", "google-chrome", package="chromium")


def test_the_first_program_that_is_there_is_taken() -> None:
    assert find_program("surely-not-there", "sh", package="dash").endswith("/sh")
