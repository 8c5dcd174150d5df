"""Ray: a local cluster of two CPUs without its dashboard; it keeps nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks import stages
from benchmarks.peers.measuring import Peer, main

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}


class Ray(Peer):
    """Remote functions of Ray."""

    name = "ray"
    packages = ("ray",)
    kept = "nothing; two worker processes and an object store"

    def start(self, folder: Path) -> list[int]:
        import ray

        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=1_000_000_000,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder / "ray"),
        )
        self._ray: Any = ray
        names = ("nothing", "increment", "burn", "make_array", "sum_array")
        self._remote = {name: ray.remote(getattr(stages, name)) for name in names}
        ray.get(self._remote["nothing"].remote())
        return [os.getpid()]

    def stop(self) -> None:
        self._ray.shutdown()

    def one_run(self) -> object:
        return self._ray.get(self._remote["nothing"].remote())

    def chain(self) -> object:
        value = self._remote["nothing"].remote()
        for _ in range(19):
            value = self._remote["nothing"].remote(value)
        return self._ray.get(value)

    def items(self, count: int) -> object:
        return self._map("increment", count)

    def items_in_chunks(self, count: int) -> object:
        from ray.util.multiprocessing import Pool

        if not hasattr(self, "_pool"):
            self._pool = Pool(2)
        return self._pool.map(stages.increment, stages.numbers(count), chunksize=count // 8)

    def array(self) -> object:
        return self._ray.get(self._remote["sum_array"].remote(self._remote["make_array"].remote()))

    def burn(self) -> object:
        return self._map("burn", 8)

    def _map(self, name: str, count: int) -> object:
        remote = self._remote[name]
        return self._ray.get([remote.remote(number) for number in stages.numbers(count)])


if __name__ == "__main__":
    main(Ray())
