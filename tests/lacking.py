"""What a test does where the machine lacks something that it needs: the one place that skips."""

from __future__ import annotations

import os

import pytest

__all__ = ["lacking"]


def lacking(reason: str) -> BaseException:
    """Return what to raise: a failure on CI, where nothing may be left out, a skip elsewhere."""
    if os.environ.get("CI"):
        return pytest.fail.Exception(reason, pytrace=False)
    return pytest.skip.Exception(reason)
