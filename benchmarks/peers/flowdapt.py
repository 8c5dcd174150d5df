"""flowdapt itself, asked the same over its socket: a daemon, and a client that holds one connection a thread."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers.measuring import Peer, main
from benchmarks.workstation import open_workstation
from flowdapt.client import Client


class Flowdapt(Peer):
    """The daemon on SQLite with the local executor."""

    name = "flowdapt"
    packages = ("flowdapt",)
    kept = "SQLite; a daemon and two worker processes"
    in_process = False

    def start(self, folder: Path) -> list[int]:
        del folder
        self._open = ExitStack()
        station = self._open.enter_context(open_workstation())
        self._clients = threading.local()
        return [station.pid]

    def stop(self) -> None:
        self._open.close()

    def one_run(self) -> object:
        return self._run("noop")

    def chain(self) -> object:
        return self._run("chain")

    def items(self, count: int) -> object:
        return self._run("items", n=count)

    def array(self) -> object:
        return self._run("array")

    def burn(self) -> object:
        return self._run("burn", n=8)

    def _run(self, workflow: str, **given: object) -> object:
        if not hasattr(self._clients, "own"):
            self._clients.own = self._open.enter_context(Client())
        client = self._clients.own
        run = client.run(workflow, given, wait=True)
        assert run.state == "finished", run.error
        return client.runs.result(run.uid)


if __name__ == "__main__":
    main(Flowdapt())
