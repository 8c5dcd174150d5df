"""Memory that is passed by name: opened once, bounded, gone with its run."""

from __future__ import annotations

import os

import pytest

from flowdapt.plugins.executors.ray.copies import Copies
from flowdapt.plugins.executors.ray.remote import Lent
from flowdapt.runtime.areas import Area
from flowdapt.runtime.pickled import Pickled


def _offered(value: object) -> tuple[Area, Lent]:
    kept = Pickled.of(value)
    area = Area.of(kept.pieces()[0])
    return area, Lent(area.path, area.inode, kept.codec)


def test_a_value_outlives_whoever_offered_it_until_its_run_is_forgotten() -> None:
    copies = Copies(10**6, by_name=True)
    area, lent = _offered(["x" * 1000])
    copies.take("handle", "run", lent)
    area.close()
    assert copies.holds("handle", ())
    name = copies["handle"].lent()
    assert name is not None
    assert name.take().load() == ["x" * 1000]
    copies.forget("another-run")
    assert copies.holds("handle", ())
    copies.forget("run")
    assert not copies.holds("handle", ())
    with pytest.raises(OSError, match="No such file"):
        name.take()


def test_memory_that_another_value_took_over_is_not_mistaken_for_it() -> None:
    area, lent = _offered([1])
    other, _ = _offered([2])
    os.dup2(other.fd, area.fd)
    with pytest.raises(FileNotFoundError):
        Copies(10**6, by_name=True).take("handle", "run", lent)


def test_what_is_passed_by_name_is_bounded() -> None:
    copies = Copies(1500, by_name=True)
    kept = []
    for number in range(2):
        assert copies.has_room()
        area, lent = _offered(["x" * 1000])
        kept.append(area)
        copies.take(f"handle-{number}", f"run-{number}", lent)
    assert not copies.has_room()
    copies.forget("run-0")
    assert copies.has_room()


def test_for_somebody_on_another_machine_a_value_moves_to_the_store() -> None:
    copies = Copies(10**6, by_name=True)
    area, lent = _offered(["x" * 1000])
    copies.take("handle", "run", lent)
    area.close()
    copies.by_name = False
    assert not copies.has_room()
    copy = copies["handle"]
    copy.move("node", lambda kept: kept.load())
    assert copy.lent() is None
    assert copy.ref == ["x" * 1000]
    assert copies.holds("handle", ("node",))
    assert not copies.holds("handle", ())
