"""Dask: a scheduler and two worker processes with one thread each; it keeps nothing."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import stages
from benchmarks.peers.measuring import Peer, main


class Dask(Peer):
    """Futures of dask.distributed on a local cluster."""

    name = "dask"
    packages = ("dask", "distributed")
    kept = "nothing; two worker processes"

    def start(self, folder: Path) -> list[int]:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(folder),
        )
        self._client = Client(self._cluster)
        self._client.wait_for_workers(2)
        return [os.getpid()]

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()

    def one_run(self) -> object:
        return self._client.submit(stages.nothing, pure=False).result()

    def chain(self) -> object:
        value = self._client.submit(stages.nothing, pure=False)
        for _ in range(19):
            value = self._client.submit(stages.nothing, value, pure=False)
        return value.result()

    def items(self, count: int) -> object:
        return self._map(stages.increment, count)

    def items_in_chunks(self, count: int) -> object:
        from dask import bag

        numbers = bag.from_sequence(stages.numbers(count), npartitions=8)
        return numbers.map(stages.increment).compute(scheduler=self._client)

    def array(self) -> object:
        made = self._client.submit(stages.make_array, pure=False)
        return self._client.submit(stages.sum_array, made, pure=False).result()

    def burn(self) -> object:
        return self._map(stages.burn, 8)

    def _map(self, function: object, count: int) -> object:
        return self._client.gather(self._client.map(function, stages.numbers(count), pure=False))


if __name__ == "__main__":
    main(Dask())
