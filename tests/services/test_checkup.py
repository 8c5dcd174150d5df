"""What `doctor` finds beyond the rows: results whose files are gone or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowdapt.runtime.values import encode
from flowdapt.services.checkup import find_problems
from flowdapt.stores.memory import MemoryStore
from flowdapt.stores.values import FileValueStore
from flowdapt.testing import FakeClock
from flowdapt.testing.store_records import finish, new_run

pytestmark = pytest.mark.trio


async def _finished_run(store: MemoryStore, root: Path, value: object) -> Path:
    new = new_run(owner="me")
    ref = encode(value, str(root), f"{new.run.uid}/result", inline_max_bytes=0)
    stored = await store.submit(new)
    await finish(store, stored.run, stored.stages, result=ref)
    return root / ref.location


@pytest.mark.parametrize("value", [list(range(1000)), {1, 2, 3}])
async def test_a_changed_or_missing_result_is_named(tmp_path: Path, value: object) -> None:
    store, values = MemoryStore(FakeClock()), FileValueStore(tmp_path)
    file = await _finished_run(store, tmp_path, value)
    assert await find_problems(store, values) == []
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    (problem,) = await find_problems(store, values)
    assert "sha256 differs" in problem
    file.unlink()
    (problem,) = await find_problems(store, values)
    assert "is gone" in problem
