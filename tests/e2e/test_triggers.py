"""Rules that start workflows by themselves, on a real daemon: over kills, pauses, deletions, by hand."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.shells import Shell
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.e2e.daemons import Daemon

ON_TRAINED = {
    "and": [
        {"eq": [{"var": "type"}, "com.event.workflow.workflow_finished"]},
        {"eq": [{"var": "data.workflow"}, "train"]},
        {"lt": [{"var": "data.result.loss"}, 0.5]},
    ]
}
TRAIN = "def stage(x=1):\n    return {'loss': x / 10}"
PREDICT = "def stage(loss):\n    return loss"
SECOND = timedelta(seconds=1)


def runs_of(workflow: str, **given: Any) -> dict[str, Any]:
    parameters = {"workflow": workflow, **({"input": given} if given else {})}
    return {"target": "run_workflow", "parameters": parameters}


def apply(daemon: Daemon, name: str, **spec: Any) -> dict[str, Any]:
    document = {"kind": "trigger_rule", "metadata": {"name": name}, "spec": spec}
    (applied,) = daemon.json("POST", "/api/v1/apply", [document])["items"]
    found: dict[str, Any] = applied
    return found


def each_second(daemon: Daemon, name: str = "tick", **more: Any) -> None:
    spec = {"rule": {"every": "1s"}, "action": runs_of("train"), "overlap": "allow", **more}
    apply(daemon, name, type="interval", **spec)


def after_training(daemon: Daemon) -> None:
    action = runs_of("predict", loss={"var": "data.result.loss"})
    apply(daemon, "after", type="condition", rule=ON_TRAINED, action=action, overlap="allow")


def fires(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    """Return the fires of a rule, oldest first."""
    found = daemon.json("GET", f"/api/v1/triggers/{name}/fires?limit=500")["items"]
    return list(reversed(found))


def slots(daemon: Daemon, name: str = "tick") -> list[datetime]:
    return [datetime.fromisoformat(one["scheduled_at"]) for one in fires(daemon, name)]


def runs(daemon: Daemon, workflow: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.json("GET", f"/api/v1/runs?workflow={workflow}")["items"]
    return found


def started(daemon: Daemon) -> Daemon:
    daemon.start()
    daemon.define("train", TRAIN)
    daemon.define("predict", PREDICT)
    return daemon


def doctor(daemon: Daemon) -> None:
    done = Shell(daemon.home)("doctor")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_each_slot_fires_once_over_kills_of_the_daemon(daemon: Daemon) -> None:
    started(daemon)
    each_second(daemon)
    for count in (2, 5):
        eventually(lambda count=count: len(fires(daemon, "tick")) >= count, what="it fires")
        daemon.kill()
        down_since = time.time()
        eventually(lambda since=down_since: time.time() > since + 1.5, what="slots pass")
        daemon.start()
    eventually(lambda: len(fires(daemon, "tick")) >= 9, what="it goes on")
    seen = slots(daemon)
    assert seen == [seen[0] + SECOND * at for at in range(len(seen))]
    uids = [uid for one in fires(daemon, "tick") for uid in one["runs"]]
    assert len(uids) == len(set(uids)) == len(fires(daemon, "tick"))
    doctor(daemon)


def test_a_result_goes_into_the_next_workflow_also_when_the_daemon_dies_between(
    daemon: Daemon,
) -> None:
    started(daemon)
    after_training(daemon)
    trained = daemon.run("train", x=3)
    daemon.kill()
    daemon.start()
    (predicted,) = eventually(lambda: runs(daemon, "predict"), what="it starts")
    ended = daemon.json("GET", f"/api/v1/runs/{predicted['uid']}", prefer="wait=20")
    assert (ended["result"], ended["trigger_rule"]) == (0.3, "after")
    why = daemon.json("GET", f"/api/v1/runs/{predicted['uid']}/explain")["items"]
    assert trained["name"] in why[-1]["message"]
    assert daemon.run("train", x=9)["result"] == {"loss": 0.9}
    last = daemon.run("train", x=1)
    eventually(lambda: len(runs(daemon, "predict")) == 2, what="the last one starts its own")
    (fire,) = fires(daemon, "after")[1:]
    event = daemon.json("GET", f"/api/v1/events?after={fire['event_cursor'] - 1}&limit=1")
    assert event["items"][0]["run"] == last["uid"]
    doctor(daemon)


def test_a_pause_outlives_a_restart_and_a_resumed_rule_makes_up_for_nothing(
    daemon: Daemon,
) -> None:
    started(daemon)
    each_second(daemon, catch_up="all")
    eventually(lambda: fires(daemon, "tick"), what="it fires")
    daemon.json("POST", "/api/v1/triggers/tick/pause", {"reason": "holidays"})
    before = len(fires(daemon, "tick"))
    daemon.kill()
    daemon.start()
    glance = daemon.json("GET", "/api/v1/triggers/tick/status")
    assert (glance["state"], glance["paused_reason"]) == ("paused", "holidays")
    status = daemon.json("GET", "/api/v1/status")
    assert status["triggers"] == {"rules": 1, "paused": 1, "broken": 0}
    assert len(fires(daemon, "tick")) == before
    daemon.json("POST", "/api/v1/triggers/tick/resume")
    (told,) = daemon.json("GET", "/api/v1/events?type=com.event.trigger.resumed")["items"]
    eventually(lambda: len(fires(daemon, "tick")) >= before + 2, what="it goes on")
    assert slots(daemon)[before] > datetime.fromisoformat(told["time"])


def test_a_disabled_rule_fires_by_hand_alone(daemon: Daemon) -> None:
    started(daemon)
    each_second(daemon, enabled=False)
    each_second(daemon, "witness")
    eventually(lambda: len(fires(daemon, "witness")) >= 2, what="the other one fires")
    assert fires(daemon, "tick") == []
    fire = daemon.json("POST", "/api/v1/triggers/tick/fire")
    run = daemon.json("GET", f"/api/v1/runs/{fire['runs'][0]}", prefer="wait=20")
    assert (run["state"], run["trigger_rule"]) == ("finished", "tick")


def test_a_rule_deleted_while_it_fires_leaves_its_runs_and_its_history(daemon: Daemon) -> None:
    started(daemon)
    each_second(daemon)
    each_second(daemon, "witness")
    eventually(lambda: fires(daemon, "tick"), what="it fires")
    daemon.json("DELETE", "/api/v1/triggers/tick")
    left = fires(daemon, "tick")
    goes_on = len(fires(daemon, "witness"))
    eventually(lambda: len(fires(daemon, "witness")) >= goes_on + 2, what="the other one fires")
    assert fires(daemon, "tick") == left
    assert daemon.ask("GET", "/api/v1/triggers/tick/status").status == 404
    run = daemon.json("GET", f"/api/v1/runs/{left[0]['runs'][0]}", prefer="wait=20")
    assert run["state"] == "finished"
    doctor(daemon)


def test_the_whole_way_by_the_terminal(daemon: Daemon) -> None:
    started(daemon)
    shell = Shell(daemon.home, {"FLOWDAPT_AUTOSTART": "0", "COLUMNS": "80"})
    slip = {
        "kind": "trigger_rule",
        "metadata": {"name": "slip"},
        "spec": {"type": "schedule", "rule": ["* */1 * * *"], "timezone": "Europe/Berlin",
                 "enabled": False, "action": runs_of("trian")},
    }  # fmt: skip
    told = shell("apply", "-f", "-", stdin=json.dumps(slip), ok=True).stderr
    assert "every minute (Europe/Berlin): 1,440 times a day" in told
    assert "once an hour is `0 * * * *`" in told
    assert "it runs the workflow 'trian', which does not exist" in told
    after_training(daemon)
    daemon.run("train", x=2)
    eventually(lambda: fires(daemon, "after"), what="it fires")
    listed = shell("trigger", "ls", ok=True).stdout
    assert "✔ started" in listed
    assert all(len(line) <= 80 for line in listed.splitlines())
    (fired,) = shell.json("trigger", "history", "after")["items"]
    past = shell("trigger", "test", "after", "--event", str(fired["event_cursor"]), ok=True)
    assert '{"input": {"loss": 0.2}, "workflow": "predict"}' in past.stdout
    other = json.dumps({"type": "com.event.workflow.workflow_finished", "data": {"workflow": "x"}})
    wrong = shell("trigger", "test", "after", "--event", "-", stdin=other)
    assert wrong.returncode == 1
    assert '✖ data.workflow eq "train"   data.workflow is "x"' in wrong.stdout
    failed = shell("trigger", "fire", "slip")
    assert failed.returncode == 1
    assert "there is no workflow 'trian'" in failed.stderr
    assert shell("trigger", "history", "nowhere").returncode == 3
    assert len(shell.json("trigger", "next", "slip", "-n", "3")["next"]) == 3
    waited = shell("trigger", "fire", "after", "--event", str(fired["event_cursor"]), "--wait")
    assert "✔ finished" in waited.stdout
    why = shell("runs", "why", fired["runs"][0], ok=True).stdout
    assert "trigger rule 'after' started it for event" in why
