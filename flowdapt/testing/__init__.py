"""What tests of flowdapt and of its plugins share: contracts to pass, fakes that keep the ports' promises.

Names load on first use, so that a plugin's test of its executor does not import the SQL store.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "BrokerContract": "flowdapt.testing.broker_contract",
    "ExecutorContract": "flowdapt.testing.executor_contract",
    "FakeClock": "flowdapt.testing.fakes",
    "FakeExecutor": "flowdapt.testing.fakes",
    "FakeKinds": "flowdapt.testing.fake_kinds",
    "LossyBroker": "flowdapt.testing.lossy_broker",
    "MemoryLogs": "flowdapt.testing.fakes",
    "MemoryValues": "flowdapt.testing.fakes",
    "OutsideBrokerContract": "flowdapt.testing.broker_outside",
    "StageBench": "flowdapt.testing.stages",
    "StageReport": "flowdapt.testing.stages",
    "StoreContract": "flowdapt.testing.store_contract",
    "json_value": "flowdapt.testing.fakes",
    "run_stage": "flowdapt.testing.stages",
}

__all__ = [
    "BrokerContract",
    "ExecutorContract",
    "FakeClock",
    "FakeExecutor",
    "FakeKinds",
    "LossyBroker",
    "MemoryLogs",
    "MemoryValues",
    "OutsideBrokerContract",
    "StageBench",
    "StageReport",
    "StoreContract",
    "json_value",
    "run_stage",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
