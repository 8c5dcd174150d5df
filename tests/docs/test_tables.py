"""The reference says what the code says."""

from __future__ import annotations

import pytest

from flowdapt.plugins.bridge.options import ClusterOptions
from flowdapt.plugins.executors.dask.options import DaskOptions
from flowdapt.plugins.executors.ray.options import RayOptions
from tests.docs.tables import REFERENCE, TABLES, filled

PAGES = sorted(REFERENCE.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_are_as_the_code_has_them(page) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "run: python -m tests.docs.tables"


def test_every_table_stands_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in text] == []


def test_every_option_of_a_cluster_is_told() -> None:
    page = (REFERENCE / "executors.md").read_text(encoding="utf-8")
    told = {
        name for model in (ClusterOptions, DaskOptions, RayOptions) for name in model.model_fields
    }
    assert sorted(name for name in told if f"`{name}`" not in page) == []
