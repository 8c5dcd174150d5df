"""Many clients with the same keys, a daemon that is killed and replies that are lost: one run for each key."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from flowdapt.domain.errors import KeyReused
from tests.faults import witness
from tests.faults.proxy import lossy_proxy
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workstation import Workstation

LOSES = 0.2


def submit_all(path: str, keys: list[str], seed: int) -> dict[str, str]:
    """Be one client: submit under every key, in an order of its own; return the run of each."""
    random.Random(seed).shuffle(keys)
    with Client(transport=UnixTransport(path)) as client:
        return {key: client.run("w", {"n": int(key)}, key=f"key-{key}").uid for key in keys}


def kill_while(station: Workstation, busy: Callable[[], bool], kills: int) -> int:
    killed = 0
    while busy():
        if killed < kills:
            time.sleep(0.7)
            station.kill()
            station.start()
            killed += 1
        else:
            time.sleep(0.05)
    return killed


def clients_with_the_same_keys(
    clients: int, keys: int, kills: int, note: Callable[[str, object], None]
) -> None:
    # Room for all clients and for who looks: being turned away is another test.
    with workstation(FLOWDAPT_LIMITS__CONNECTIONS="300") as station:
        station.module("witness", witness.SOURCE)
        station.start()
        with station.client() as client:
            client.apply([workflow("w", stage("a", "user_modules.witness.numbers"))])
        names = [str(n) for n in range(keys)]
        with (
            lossy_proxy(station.home / "p", station.socket_path, loses=LOSES, seed=1) as proxy,
            ThreadPoolExecutor(clients) as pool,
        ):
            asked = [pool.submit(submit_all, proxy.path, list(names), n) for n in range(clients)]
            killed = kill_while(station, lambda: not all(one.done() for one in asked), kills)
            answers = [one.result() for one in asked]
        assert proxy.lost > 0
        assert killed > 0
        assert all(answer == answers[0] for answer in answers), "one key named two runs"
        with station.client() as client:
            uids = {run.uid for run in client.runs.list(limit=500).items}
            assert uids == set(answers[0].values())
            assert len(uids) == keys
            with pytest.raises(KeyReused):
                client.run("w", {"n": 99}, key="key-0")
            ended = [
                eventually(
                    lambda uid=uid: (r := client.runs.get(uid)).state.terminal and r, timeout_s=30
                )
                for uid in uids
            ]
        assert all(run.state == "finished" for run in ended)
        note(
            "P4 runs for so many keys",
            f"{len(uids)} for {keys} ({proxy.lost} replies lost, {killed} kills)",
        )
        station.doctor()


def test_lost_replies_and_kills_make_one_run_for_each_key(
    record_property: Callable[[str, object], None],
) -> None:
    clients_with_the_same_keys(10, 12, 2, record_property)


@pytest.mark.faults
def test_a_hundred_clients_make_one_run_for_each_of_fifty_keys(
    record_property: Callable[[str, object], None],
) -> None:
    clients_with_the_same_keys(100, 50, 8, record_property)
