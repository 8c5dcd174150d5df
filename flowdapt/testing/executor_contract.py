"""State what every executor must do, as tests: subclass `ExecutorContract` and say how one is made.

The base holds for all. The other parts hold for what an executor declares in `capabilities`; a
subclass that does not declare it has no such tests.
"""

from __future__ import annotations

from flowdapt.testing.executor_base import BaseContract
from flowdapt.testing.executor_mapping import MappingContract
from flowdapt.testing.executor_parts import (
    CrashContract,
    FreshProcessContract,
    KillContract,
    StreamContract,
)

__all__ = ["ExecutorContract"]


class ExecutorContract(
    BaseContract, MappingContract, StreamContract, KillContract, CrashContract, FreshProcessContract
):
    """Everything that `flowdapt.ports.executor.Executor` promises and a test can show.

    The tests are coroutines of trio (pytest-trio runs them). Each starts an executor of its own;
    its workers must be able to import flowdapt and see the test's temporary folder.

    ```python
    class TestMyExecutor(ExecutorContract):
        capabilities = MyExecutor.capabilities

        async def make(self, environment):
            return MyExecutor(environment)
    ```
    """
