"""DBOS Transact: durable functions in the caller's own process, on SQLite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks import stages
from benchmarks.peers.measuring import Peer, main


class Dbos(Peer):
    """DBOS on a SQLite file; steps run in the threads of one process."""

    name = "dbos"
    packages = ("dbos", "sqlalchemy")
    kept = "SQLite; threads of the caller's process"

    def start(self, folder: Path) -> list[int]:
        from dbos import DBOS

        url = f"sqlite:///{folder / 'dbos.sqlite'}"
        DBOS(
            config={
                "name": "bench",
                "system_database_url": url,
                "log_level": "ERROR",
                "run_admin_server": False,
            }
        )
        self._workflows = _define(DBOS)
        DBOS.launch()
        self._dbos = DBOS
        return [os.getpid()]

    def stop(self) -> None:
        self._dbos.destroy()

    def one_run(self) -> object:
        return self._workflows["noop"]()

    def chain(self) -> object:
        return self._workflows["chain"]()

    def items(self, count: int) -> object:
        return self._workflows["items"](count)

    def array(self) -> object:
        return self._workflows["array"]()

    def burn(self) -> object:
        return self._workflows["burn"](8)


def _define(dbos: Any) -> dict[str, Any]:
    """Register the stages as steps; a loop of steps is the quickest of its ways to map."""
    nothing, increment = dbos.step()(stages.nothing), dbos.step()(stages.increment)
    numbers, burn = dbos.step()(stages.numbers), dbos.step()(stages.burn)
    make, total = dbos.step()(stages.make_array), dbos.step()(stages.sum_array)

    @dbos.workflow()
    def noop() -> int:
        return nothing()

    @dbos.workflow()
    def chain() -> int:
        value = nothing()
        for _ in range(19):
            value = nothing(value)
        return value

    @dbos.workflow()
    def items(count: int) -> list[int]:
        return [increment(number) for number in numbers(count)]

    @dbos.workflow()
    def array() -> float:
        return total(make())

    @dbos.workflow()
    def burn_one(number: int) -> int:
        return burn(number)

    @dbos.workflow()
    def burn_all(count: int) -> list[int]:
        handles = [dbos.start_workflow(burn_one, number) for number in numbers(count)]
        return [handle.get_result() for handle in handles]

    return {"noop": noop, "chain": chain, "items": items, "array": array, "burn": burn_all}


if __name__ == "__main__":
    main(Dbos())
