"""One daemon for all tests of a module, since most of them only ask it for runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workstation import workstation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.client import Client
    from tests.workstation import Workstation


@pytest.fixture(scope="module")
def station() -> Iterator[Workstation]:
    with workstation(FLOWDAPT_LOCAL__SLOTS="2") as made:
        made.start()
        yield made
        made.doctor()


@pytest.fixture
def client(station: Workstation) -> Iterator[Client]:
    """Give a client of the module's daemon."""
    with station.client() as made:
        yield made
