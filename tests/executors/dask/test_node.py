"""A worker passes values by name as long as it is told to, and writes them whole."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import numpy as np
from distributed.protocol import serialize_bytelist
from distributed import spill
from flowdapt.plugins.executors.dask.node import pass_values
from flowdapt.runtime.pickled import Pickled

pass_values(by_name=True)
pass_values(by_name=True)
kept = Pickled.of(np.zeros(1_000_000))
sent = sum(memoryview(frame).nbytes for frame in serialize_bytelist(kept))
written = b"".join(map(bytes, spill.serialize_bytelist(kept, compression=None, on_error="raise")))
from distributed.protocol import deserialize_bytes
pass_values(by_name=False)
whole = sum(memoryview(frame).nbytes for frame in serialize_bytelist(kept))
print(sent < 5000, whole > 8_000_000, len(written) > 8_000_000, len(deserialize_bytes(written).load()))
"""


def test_a_value_goes_to_another_worker_by_name_and_to_the_disk_whole() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True", "True", "1000000"], done.stderr
