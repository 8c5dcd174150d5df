"""The part of the store's contract about executor profiles and the active executor."""

from __future__ import annotations

from typing import Any

import pytest

from flowdapt.domain.errors import Conflict, NotFound, StaleRevision
from flowdapt.domain.events import EXECUTOR_ADDED, EXECUTOR_REMOVED, EXECUTOR_SWITCHED
from flowdapt.domain.executor_profile import ExecutorProfile
from flowdapt.ports.profiles import ActiveExecutor
from flowdapt.ports.store import Store
from flowdapt.testing.store_records import finish, new_run
from flowdapt.testing.store_submission import OpensStore

__all__ = ["ProfileContract"]

TOLD = (EXECUTOR_ADDED, EXECUTOR_REMOVED, EXECUTOR_SWITCHED)


def a_profile(name: str = "lab", **options: Any) -> ExecutorProfile:
    """Return a profile, not stored yet."""
    return ExecutorProfile(name=name, kind="dask", options=options)


async def told(store: Store) -> list[str]:
    """Return which executors the journal tells of, and what."""
    events = await store.list_events(types=TOLD)
    return [f"{event.type.rpartition('.')[2]} {event.subject}" for event in events]


class ProfileContract(OpensStore):
    """What `flowdapt.ports.profiles.ProfileStore` promises."""

    async def test_a_profile_is_found_as_it_was_added(self) -> None:
        options: dict[str, Any] = {
            "address": "tls://10.0.0.5:8786",
            "maximum": 4,
            "labels": {"ü": [1.5, None]},
        }
        async with self.opened() as store:
            added = await store.add_profile(a_profile(**options))
            await store.add_profile(a_profile("big"))
            assert added.created_at is not None
            assert await store.find_profile("lab") == added
            assert added.options == options
            assert await store.find_profile("none") is None
            assert [one.name for one in await store.list_profiles()] == ["big", "lab"]
            assert await told(store) == ["added executor/lab", "added executor/big"]

    @pytest.mark.parametrize("name", ["lab", "local", "dask", "ray"])
    async def test_a_name_that_is_taken_is_refused(self, name: str) -> None:
        async with self.opened() as store:
            await store.add_profile(a_profile(maximum=1))
            with pytest.raises(Conflict) as caught:
                await store.add_profile(a_profile(name, maximum=2))
            assert caught.value.exact_code == "executor.exists"
            assert [one.options for one in await store.list_profiles()] == [{"maximum": 1}]

    async def test_before_the_first_switch_the_active_executor_is_local(self) -> None:
        async with self.opened() as store:
            assert await store.active_executor() == ActiveExecutor("local", None, 0)

    async def test_a_switch_notes_where_it_came_from(self) -> None:
        async with self.opened() as store:
            await store.add_profile(a_profile())
            first = await store.switch_executor("lab", if_revision=0)
            second = await store.switch_executor("dask", if_revision=1)
            assert first == ActiveExecutor("lab", "local", 1)
            assert second == await store.active_executor() == ActiveExecutor("dask", "lab", 2)
            assert (await told(store))[1:] == [
                "switched executor/lab",
                "switched executor/dask",
            ]

    async def test_a_switch_to_where_it_stands_changes_nothing(self) -> None:
        async with self.opened() as store:
            await store.switch_executor("dask", if_revision=0)
            assert await store.switch_executor("dask", if_revision=1) == ActiveExecutor(
                "dask", "local", 1
            )
            assert len(await told(store)) == 1

    async def test_of_two_switches_from_one_place_one_wins(self) -> None:
        async with self.opened() as store:
            await store.switch_executor("dask", if_revision=0)
            with pytest.raises(StaleRevision):
                await store.switch_executor("ray", if_revision=0)
            assert (await store.active_executor()).name == "dask"

    async def test_a_switch_to_nothing_is_refused_and_leaves_no_trace(self) -> None:
        async with self.opened() as store:
            with pytest.raises(NotFound) as caught:
                await store.switch_executor("lab", if_revision=0)
            assert caught.value.exact_code == "executor.not_found"
            assert await store.active_executor() == ActiveExecutor("local")
            assert await told(store) == []

    async def test_a_profile_may_come_with_the_switch(self) -> None:
        new = a_profile("dask-host-8786", address="tls://host:8786")
        async with self.opened() as store:
            await store.switch_executor(new.name, if_revision=0, add=new)
            assert (await store.list_profiles())[0].options == new.options
            assert await told(store) == [
                f"added executor/{new.name}",
                f"switched executor/{new.name}",
            ]
            await store.switch_executor("local", if_revision=1)
            again = await store.switch_executor(new.name, if_revision=2, add=new)
            assert again == ActiveExecutor(new.name, "local", 3)
            assert len(await store.list_profiles()) == 1

    async def test_a_profile_never_replaces_another_of_its_name(self) -> None:
        async with self.opened() as store:
            await store.add_profile(a_profile(maximum=1))
            with pytest.raises(Conflict) as caught:
                await store.switch_executor("lab", if_revision=0, add=a_profile(maximum=2))
            assert caught.value.exact_code == "executor.exists"
            assert (await store.list_profiles())[0].options == {"maximum": 1}
            assert await store.active_executor() == ActiveExecutor("local")

    async def test_a_stale_switch_stores_no_profile_either(self) -> None:
        async with self.opened() as store:
            with pytest.raises(StaleRevision):
                await store.switch_executor("lab", if_revision=7, add=a_profile())
            assert await store.list_profiles() == []

    async def test_a_removed_profile_is_gone_and_its_name_is_free(self) -> None:
        async with self.opened() as store:
            await store.add_profile(a_profile(maximum=1))
            await store.remove_profile("lab")
            assert await store.list_profiles() == []
            with pytest.raises(NotFound):
                await store.remove_profile("lab")
            await store.add_profile(a_profile(maximum=2))
            assert (await told(store))[1] == "removed executor/lab"

    async def test_the_active_profile_stays(self) -> None:
        async with self.opened() as store:
            await store.switch_executor("lab", if_revision=0, add=a_profile())
            with pytest.raises(Conflict) as caught:
                await store.remove_profile("lab")
            assert caught.value.exact_code == "executor.in_use"
            assert await store.find_profile("lab") is not None

    async def test_a_profile_stays_while_open_runs_are_pinned_to_it(self) -> None:
        async with self.opened() as store:
            await store.add_profile(a_profile())
            done = await store.submit(new_run(owner="me", executor="lab"))
            await store.submit(new_run())
            with pytest.raises(Conflict) as caught:
                await store.remove_profile("lab")
            assert caught.value.exact_code == "executor.in_use"
            assert await store.count_pinned() == {"lab": 1, "local": 1}
            await finish(store, done.run, done.stages)
            assert await store.count_pinned() == {"local": 1}
            await store.remove_profile("lab")

    async def test_there_is_no_way_back_to_what_was_removed(self) -> None:
        async with self.opened() as store:
            await store.switch_executor("lab", if_revision=0, add=a_profile())
            await store.switch_executor("dask", if_revision=1)
            await store.remove_profile("lab")
            assert await store.active_executor() == ActiveExecutor("dask", None, 2)
