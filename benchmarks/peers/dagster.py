"""Dagster: jobs of ops on its local instance on SQLite, with its web server.

Single runs go the quickest way, in the caller's process; many runs the way its web server launches them.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.peers.measuring import Peer, main, threaded
from benchmarks.peers.processes import free_port, program, server, wait_for_http
from benchmarks.timing import now

_LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_PLACES = """{ repositoriesOrError { ... on RepositoryConnection {
  nodes { name location { name } } } } }"""
# The default coordinator queues runs for a second daemon; this one launches them at once.
_INSTANCE = """telemetry:
  enabled: false
run_coordinator:
  module: dagster._core.run_coordinator
  class: DefaultRunCoordinator
"""


class Dagster(Peer):
    """Dagster with its web server and code server, without its daemon."""

    name = "dagster"
    packages = ("dagster", "dagster-webserver")
    kept = "SQLite; web server and code server, runs in the caller or in processes of their own"
    in_process = False

    def start(self, folder: Path) -> list[int]:
        self._open = ExitStack()
        (folder / "dagster.yaml").write_text(_INSTANCE)
        os.environ |= {"DAGSTER_HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1"}
        self._port = free_port()
        command = [program("dagster-webserver"), "-h", "127.0.0.1", "-p", str(self._port)]
        jobs = ["-m", "benchmarks.peers.dagster_jobs"]
        process = self._open.enter_context(server([*command, *jobs], folder))
        wait_for_http(process, self._port, "/server_info")
        self._connections = threading.local()
        until = now() + 30
        while not (places := self._ask(_PLACES)["repositoriesOrError"].get("nodes")):
            if now() > until:
                raise TimeoutError("the code server loaded no jobs")
            time.sleep(0.02)
        self._place = places[0]
        return [process.pid]

    def stop(self) -> None:
        self._open.close()

    def one_run(self) -> object:
        return self._here("noop")

    def chain(self) -> object:
        return self._here("chain")

    def items(self, count: int) -> object:
        return self._here("items", count)

    def array(self) -> object:
        return self._here("array")

    def burn(self) -> object:
        import dagster as dg

        job = dg.reconstructable(self._job("burn"))
        with dg.execute_job(job, instance=self._instance(), run_config=_counted(8)) as result:
            assert result.success
        return result

    def many_runs(self, count: int, in_flight: int, until: float) -> int:
        # execute_in_process is not meant for threads: every run sets the process's logging up anew.
        return threaded(self._launched, count, in_flight, until)

    def _launched(self) -> None:
        selector = {
            "repositoryName": self._place["name"],
            "repositoryLocationName": self._place["location"]["name"],
            "jobName": "noop",
        }
        params = {"selector": selector, "runConfigData": {}, "mode": "default"}
        launched = self._ask(_LAUNCH, p=params)["launchRun"]
        ident = launched["run"]["runId"]
        while (status := self._ask(_STATUS, id=ident)["runOrError"]["status"]) != "SUCCESS":
            assert status not in {"FAILURE", "CANCELED"}, status
            time.sleep(0.05)

    def _here(self, name: str, count: int | None = None) -> object:
        config = {} if count is None else _counted(count)
        result = self._job(name).execute_in_process(instance=self._instance(), run_config=config)
        assert result.success
        return result

    def _job(self, name: str) -> Any:
        from benchmarks.peers import dagster_jobs

        return getattr(dagster_jobs, name)

    def _instance(self) -> Any:
        import dagster as dg

        if not hasattr(self, "_opened"):
            logging.disable(logging.CRITICAL)
            self._opened = dg.DagsterInstance.get()
        return self._opened

    def _ask(self, query: str, **variables: object) -> Any:
        if not hasattr(self._connections, "own"):
            self._connections.own = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection = self._connections.own
        body = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        return answer["data"]


def _counted(count: int) -> dict[str, Any]:
    return {"ops": {"numbers": {"config": {"count": count}}}}


if __name__ == "__main__":
    main(Dagster())
