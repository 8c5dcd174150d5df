"""Contracts are tests that live in the package: let their failures show values."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("flowdapt.testing")
