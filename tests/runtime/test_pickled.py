"""What a cluster keeps: moved beside the pickle, never changed, and a true file when it is written."""

from __future__ import annotations

import os
import pickle
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from flowdapt.domain.errors import DamagedValue
from flowdapt.domain.task import ValueRef
from flowdapt.runtime import held, lending, values
from flowdapt.runtime.areas import Area
from flowdapt.runtime.pickled import Pickled
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUES: list[Any] = [
    {"a": [1, "ä", None]},
    (1, "1"),
    {"x": np.arange(100_000), "y": np.zeros((0, 3))},
    np.arange(20_000, dtype="float32").reshape(2, -1),
]


@pytest.fixture(autouse=True)
def _nothing_lent() -> Iterator[None]:
    yield
    held.lend(())


def same(one: Any, other: Any) -> bool:
    return bool(pickle.dumps(one) == pickle.dumps(other))


def moved(kept: Pickled) -> tuple[Pickled, int]:
    """Return what arrives elsewhere, and how many bytes were inside the pickle itself."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(kept, 5, buffer_callback=buffers.append)
    copies = [bytes(buffer.raw()) for buffer in buffers]
    return pickle.loads(data, buffers=copies), len(data)


@pytest.mark.parametrize("value", VALUES)
def test_a_value_survives_the_journey_beside_the_pickle(value: Any) -> None:
    arrived, inside = moved(Pickled.of(value))
    assert same(arrived.load(), value)
    assert inside < 500


@pytest.mark.parametrize("value", VALUES)
def test_an_older_protocol_carries_it_as_well(value: Any) -> None:
    assert same(pickle.loads(pickle.dumps(Pickled.of(value), 4)).load(), value)


def test_what_is_loaded_may_be_changed_without_harm() -> None:
    kept = Pickled.of(np.zeros(100_000))
    first = kept.load()
    first += 1
    assert not kept.load().any()


@pytest.mark.parametrize("value", VALUES)
def test_a_written_value_is_read_by_any_worker_and_back(value: Any, tmp_path: Path) -> None:
    kept = Pickled.of(value)
    asked = ValueRef("cluster", kept.codec, handle="h", length=3, preview="p")
    ref = kept.write(asked, str(tmp_path), "run/stage")
    assert (ref.kind, ref.handle, ref.length, ref.preview) == ("file", "h", 3, "p")
    assert same(values.decode(ref, str(tmp_path)), value)
    assert same(Pickled.read(ref, str(tmp_path)).load(), value)


def test_a_damaged_file_is_not_kept(tmp_path: Path) -> None:
    ref = Pickled.of((1, 2)).write(ValueRef("cluster", "pickle"), str(tmp_path), "v")
    path = tmp_path / ref.location
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedValue):
        Pickled.read(ref, str(tmp_path))


@pytest.mark.parametrize("value", VALUES)
def test_an_area_lends_the_value_to_whoever_maps_it(value: Any) -> None:
    kept = Pickled.of(value)
    pieces, size = kept.pieces()
    area = Area.of(pieces)
    held.lend([held.Copy("h", kept.codec, area.path, 0, size)])
    ref = ValueRef("cluster", kept.codec, handle="h")
    assert same(values.decode(ref, "/nowhere"), value)
    again = Pickled.in_area(area, kept.codec)
    assert same(again.load(), value)
    assert same(moved(again)[0].load(), value)


def test_a_large_value_moves_to_an_area_once() -> None:
    value = np.arange(100_000)
    kept = Pickled.of(value)
    area = kept.area()
    assert area is not None
    assert kept.area() is area
    value[:] = 0
    assert kept.load()[-1] == 99_999


def test_a_small_value_has_no_area() -> None:
    assert Pickled.of((1, 2)).area() is None


def test_only_so_many_areas_are_open() -> None:
    kept = [Pickled.of(np.zeros(10_000)) for _ in range(300)]
    assert sum(one.area() is not None for one in kept) <= 256
    del kept
    assert Pickled.of(np.zeros(10_000)).area() is not None


def test_the_weight_of_a_value_is_told_with_its_buffers() -> None:
    kept = Pickled.of(np.zeros(100_000))
    assert 800_000 < kept.__sizeof__() < 810_000


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "_on", True)
    monkeypatch.setattr(lending, "_offered", deque())
    monkeypatch.setattr(lending, "_bytes", 0)


@pytest.mark.usefixtures("lent")
def test_on_one_machine_a_large_value_is_passed_by_name() -> None:
    value = np.arange(1_000_000)
    data = pickle.dumps(Pickled.of(value), 5)
    assert len(data) < 500
    arrived = pickle.loads(data)
    assert same(arrived.load(), value)
    assert same(pickle.loads(pickle.dumps(arrived, 5)).load(), value)


@pytest.mark.usefixtures("lent")
def test_what_goes_to_the_disk_has_its_bytes() -> None:
    kept = Pickled.of(np.arange(1_000_000))
    with lending.whole():
        data = pickle.dumps(kept, 5)
    assert len(data) > 8_000_000
    assert same(pickle.loads(data).load(), np.arange(1_000_000))


@pytest.mark.usefixtures("lent")
def test_beyond_a_bound_the_bytes_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "OFFERED_MAX_BYTES", 10_000_000)
    sizes = [len(pickle.dumps(Pickled.of(np.zeros(1_000_000)), 5)) for _ in range(2)]
    assert sizes[0] < 500
    assert sizes[1] > 8_000_000


@pytest.mark.usefixtures("lent")
def test_an_offer_that_nobody_holds_any_more_is_not_mistaken_for_another() -> None:
    kept = Pickled.of(np.zeros(1_000_000))
    data = pickle.dumps(kept, 5)
    area = kept.area()
    assert area is not None
    number, area.fd = area.fd, os.dup(area.fd)
    other = Area.of([(0, b"x" * area.size)])
    os.dup2(other.fd, number)
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)
    os.close(number)


@pytest.mark.usefixtures("lent")
def test_an_offer_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "OFFERED_S", 0.05)
    kept = Pickled.of(np.zeros(1_000_000))
    area = weakref.ref(kept.area())  # type: ignore[arg-type]  # it is large
    data = pickle.dumps(kept, 5)
    del kept
    assert area() is not None
    eventually(lambda: area() is None)
    with pytest.raises(OSError, match=r"gone|No such file"):
        pickle.loads(data)


def test_a_value_that_is_gone_is_told_by_its_handle() -> None:
    with pytest.raises(held.CopyGone) as told:
        values.decode(ValueRef("cluster", "json", handle="run/x"), "/nowhere")
    assert told.value.handle == "run/x"


def test_a_file_serves_where_the_live_copy_is_gone(tmp_path: Path) -> None:
    ref = Pickled.of([1, 2]).write(ValueRef("cluster", "json", handle="h"), str(tmp_path), "v")
    held.lend([held.Copy("h", "json", "/proc/self/fd/9999", 0, 5)])
    assert values.decode(ref, str(tmp_path)) == [1, 2]
