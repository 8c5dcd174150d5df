"""The daemon about itself: status in the promised words, figures, plugins, secrets, upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.errors import StoreBusy
from flowdapt.domain.records import RunRecord
from flowdapt.domain.run import RunState
from flowdapt.services.clock import SystemClock
from flowdapt.services.measures import OTHER, WORKFLOWS_MAX, Measures
from flowdapt.testing import json_value

if TYPE_CHECKING:
    from tests.api.backends import Api

STATUS_WORDS = {
    "version", "pid", "uptime_s", "socket", "database", "broker", "executor", "services", "runs",
    "draining", "free_bytes", "database_bytes",
}  # fmt: skip


@pytest.mark.trio
async def test_status_speaks_the_words_that_scripts_rely_on(api: Api) -> None:
    status = (await api.client.get("/api/v1/status")).json()
    assert set(status) >= STATUS_WORDS
    assert {"name", "kind", "state", "slots"} <= set(status["executor"])
    assert status["runs"] == {"queued": 0, "running": 0}
    assert status["draining"] is False


@pytest.mark.trio
async def test_status_is_told_even_when_the_database_does_not_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy() -> None:
        raise StoreBusy("process 7 holds it")

    monkeypatch.setattr(api.backend.store, "count_runs", busy)
    status = await api.client.get("/api/v1/status")
    assert status.status_code == 200
    assert status.json()["warnings"] == ["the database does not answer: process 7 holds it"]
    assert status.json()["database_bytes"] is None
    assert (await api.client.get("/metrics")).status_code == 200
    monkeypatch.undo()
    assert (await api.client.get("/api/v1/status")).json()["warnings"] == []


@pytest.mark.trio
async def test_figures_are_prometheus_text_with_bounded_labels(api: Api) -> None:
    await api.apply()
    await api.run()
    for name in ("aaaaaa", "bbbbbb"):
        await api.client.get(f"/api/v1/runs/{name}")
    await api.client.get("/no/such/path")
    text = (await api.client.get("/metrics")).text
    assert 'flowdapt_run_seconds_count{state="finished",workflow="flow"} 1.0' in text
    assert 'route="/api/v1/runs/{ident}"' in text
    assert 'flowdapt_open_runs{state="running"} 0.0' in text
    assert "aaaaaa" not in text
    assert "/no/such/path" not in text


def test_workflows_beyond_the_bound_share_a_label() -> None:
    measures = Measures()
    now = SystemClock().now()
    for number in range(WORKFLOWS_MAX + 5):
        run = RunRecord(
            f"{number}", "n", f"w{number}", 1, RunState.FINISHED, "api", "default", "local", "{}",
            "{}", json_value({}), now, finished_at=now,
        )  # fmt: skip
        measures.run_ended(run)
    text = measures.text({}, {}).decode()
    assert f'workflow="{OTHER}"' in text
    assert text.count("flowdapt_run_seconds_count{") == WORKFLOWS_MAX + 1


@pytest.mark.trio
async def test_plugins_and_executors_are_listed(api: Api) -> None:
    assert (await api.client.get("/api/v1/plugins")).json()["items"][0]["name"] == "builtin"
    executors = (await api.client.get("/api/v1/executors")).json()["items"]
    assert {one["name"]: one["active"] for one in executors} == {
        "dask": False, "local": True, "ray": False,
    }  # fmt: skip
    assert (await api.client.get("/api/v1/executors/local/workers")).json() == {"items": []}
    assert (await api.client.get("/api/v1/executors/lab/workers")).status_code == 404


@pytest.mark.trio
async def test_a_secret_goes_in_and_never_comes_out(api: Api) -> None:
    put = await api.client.put("/api/v1/secrets/API_KEY", json={"value": "hunter2"})
    assert put.json() == {"name": "API_KEY", "place": "file"}
    for path in ("/api/v1/secrets", "/api/v1/secrets/API_KEY"):
        answer = await api.client.get(path)
        assert answer.status_code == 200
        assert "API_KEY" in answer.text
        assert "hunter2" not in answer.text
    assert (await api.client.delete("/api/v1/secrets/API_KEY")).status_code == 204
    assert (await api.client.get("/api/v1/secrets/API_KEY")).status_code == 404
    assert (await api.client.delete("/api/v1/secrets/API_KEY")).status_code == 404


@pytest.mark.trio
@pytest.mark.parametrize("body", [{}, {"value": ""}, {"value": 3}, {"valu": "x"}, {"value": None}])
async def test_a_secret_without_a_value_is_refused(api: Api, body: dict[str, object]) -> None:
    assert (await api.client.put("/api/v1/secrets/A", json=body)).status_code == 422


@pytest.mark.trio
async def test_a_loose_file_of_secrets_is_said_with_its_fix(api: Api) -> None:
    await api.client.put("/api/v1/secrets/A", json={"value": "x"})
    (api.home / "secrets" / "s.json").chmod(0o644)
    answer = await api.client.get("/api/v1/secrets")
    assert answer.status_code == 503
    assert "chmod 600" in answer.json()["fix"]


@pytest.mark.trio
async def test_drain_and_upkeep_reach_the_daemon(api: Api) -> None:
    assert (await api.client.post("/api/v1/drain?now=true")).status_code == 202
    assert (await api.client.delete("/api/v1/drain")).status_code == 200
    assert api.control.calls == [("drain", True), ("undrain", None)]
    assert (await api.client.post("/api/v1/gc?dry_run=true")).json()["dry_run"] is True
    assert (await api.client.post("/api/v1/backup")).status_code == 201
    assert (await api.client.get("/api/v1/check")).json() == {"problems": []}
