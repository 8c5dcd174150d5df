"""State what every store must do, as tests: subclass `StoreContract` and say how a store is opened.

The tests are coroutines of trio: pytest-trio runs them. A store is opened empty for each test.
"""

from __future__ import annotations

from flowdapt.testing.store_deliveries import DeliveryContract
from flowdapt.testing.store_lists import ListingContract
from flowdapt.testing.store_ownership import OwnershipContract
from flowdapt.testing.store_profiles import ProfileContract
from flowdapt.testing.store_resources import JournalContract, ResourceContract
from flowdapt.testing.store_submission import SubmissionContract
from flowdapt.testing.store_triggers import TriggerContract

__all__ = ["StoreContract"]


class StoreContract(
    SubmissionContract,
    OwnershipContract,
    ListingContract,
    ResourceContract,
    JournalContract,
    TriggerContract,
    DeliveryContract,
    ProfileContract,
):
    """Everything that `flowdapt.ports.store.Store` promises and a test can show.

    ```python
    class TestMyStore(StoreContract):
        @asynccontextmanager
        async def opened(self):
            store = MyStore()
            await store.open()
            try:
                yield store
            finally:
                await store.close()
    ```
    """
