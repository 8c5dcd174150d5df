"""`flowdapt trigger …`: what is sent, what is shown in 80 columns, which exit code it ends with."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.fake_daemon import answer, problem, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program
    from tests.client.fake_daemon import FakeDaemon


def later(**parts: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=5, **parts)).isoformat()


def fire(**more: Any) -> dict[str, Any]:
    base = {
        "number": 7, "rule": "nightly", "generation": 1, "kind": "schedule",
        "scheduled_at": "2026-01-01T02:00:00Z", "event_id": None, "event_cursor": None,
        "state": "started", "reason": None, "error": None, "slots": 1, "until": None,
        "fired_at": "2026-01-01T02:00:00Z", "runs": [run()["uid"]],
    }  # fmt: skip
    return base | more


def glance(**more: Any) -> dict[str, Any]:
    base = {
        "name": "nightly", "revision": 1, "type": "schedule", "state": "armed",
        "words": "at 03:00 every day (Europe/Berlin)", "timezone": "Europe/Berlin", "per_day": 1.0,
        "overlap": "forbid", "catch_up": "latest", "actions": ["run_workflow train"],
        "next_at": later(hours=3), "paused_at": None, "paused_reason": None, "failures": 0,
        "broken": None, "last": fire(), "last_started": fire(), "description": "",
    }  # fmt: skip
    return base | more


OUTLOOK = {
    "words": "at 03:00 every day (Europe/Berlin)",
    "per_day": 1.0,
    "timezone": "Europe/Berlin",
    "next": ["2026-10-24T01:00:00Z", "2026-10-25T02:00:00Z"],
}
CLAUSE = {
    "text": "and", "held": False, "reason": None,
    "children": [
        {"text": 'type eq "x"', "held": True, "reason": 'type is "x"', "children": []},
        {"text": "data.loss lt 0.5", "held": False, "reason": "data.loss is 0.75", "children": []},
    ],
}  # fmt: skip


def on_trial(**more: Any) -> dict[str, Any]:
    base = {
        "rule": "low", "type": "condition", "holds": False, "fires": False, "obstacles": [],
        "event": {"type": "x", "time": None, "data": {"loss": 0.75}}, "clause": CLAUSE, "due": [],
        "missed": 0, "next_at": None,
        "actions": [{"target": "run_workflow", "parameters": {"workflow": "w"}, "error": None}],
    }  # fmt: skip
    return base | more


# -- ls, next, history ---------------------------------------------------------------------------------


def test_rules_are_listed_with_state_next_and_last_in_80_columns(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    rules = [
        glance(),
        glance(name="held", state="paused", next_at=None, paused_reason="holidays", last=None),
        glance(name="odd", state="broken", next_at=None, broken="no line", words="", last=None),
    ]
    fake.on("GET", "/trigger-status", answer({"items": rules, "next": None}))
    ended = flowdapt("trigger", "ls", columns=80)
    assert ended.code == 0
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    head, nightly, held, odd = ended.out.splitlines()
    assert head.split() == ["STATE", "NAME", "NEXT", "IN", "LAST", "WHEN", "REASON"]
    assert nightly.startswith("▶ armed   nightly       3h  ✔ started ")
    assert "holidays" in held
    assert odd.startswith("✖ broken")
    assert "no line" in odd


def test_all_pages_of_rules_are_one_json_document(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on(
        "GET", "/trigger-status",
        answer({"items": [glance()], "next": "c"}),
        answer({"items": [glance(name="b")], "next": None}),
    )  # fmt: skip
    found = flowdapt("triggers", "ls", "--search", "x", "-o", "json").json()
    assert [one["name"] for one in found["items"]] == ["nightly", "b"]
    assert found["next"] is None
    first, second = fake.calls("GET", "/trigger-status")
    assert (first.query["q"], second.query["cursor"]) == (["x"], ["c"])


def test_the_next_instants_are_shown_in_the_rules_zone_and_here(
    flowdapt: Program, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.on("GET", "/triggers/nightly/next", answer(OUTLOOK))
    fake.on("GET", "/triggers/nightly/status", answer(glance(state="paused")))
    ended = flowdapt("trigger", "next", "nightly", "-n", "2")
    assert fake.calls("GET", "/triggers/nightly/next")[0].query == {"n": ["2"]}
    _, summer, winter = ended.out.splitlines()
    assert summer.startswith("Sat 2026-10-24 03:00:00 CEST  ")
    assert winter.startswith("Sun 2026-10-25 03:00:00 CET ")
    assert "at 03:00 every day (Europe/Berlin): once a day" in ended.err
    assert "does not fire now: the rule is paused" in ended.err
    assert flowdapt("trigger", "next", "nightly", "-o", "json").json() == OUTLOOK
    assert flowdapt("trigger", "next", "nightly", "-o", "name").out.split() == OUTLOOK["next"]


def test_a_zone_that_is_also_the_machines_is_told_once(flowdapt: Program, fake: FakeDaemon) -> None:
    here = datetime.now().astimezone().utcoffset()
    utc = OUTLOOK | {"timezone": "UTC"}
    fake.on("GET", "/triggers/nightly/next", answer(utc))
    fake.on("GET", "/triggers/nightly/status", answer(glance()))
    head = flowdapt("trigger", "next", "nightly").out.splitlines()[0]
    assert ("HERE" in head) == (here != timedelta(0))


def test_the_history_tells_what_each_decision_was_for_and_why(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fires = [
        fire(),
        fire(state="skipped", reason="overlap", runs=[]),
        fire(state="missed", slots=90, until="2026-01-02T02:00:00Z", reason="too_late", runs=[]),
        fire(scheduled_at=None, kind="manual", event_cursor=18),
        fire(state="failed", reason="resource.not_found", error="there is no workflow", runs=[]),
    ]
    fake.on("GET", "/triggers/nightly/fires", answer({"items": fires, "next": "c"}))
    fake.on("GET", "/runs", answer({"items": [run()], "next": None}))
    words = ("trigger", "history", "nightly", "-n", "5", "--state", "failed", "--state", "started")
    ended = flowdapt(*words, columns=100)
    lines = ended.out.splitlines()[1:]
    assert "2026-01-01T02:00:00Z" in lines[0]
    assert run()["name"] in lines[0]
    assert "overlap" in lines[1]
    assert "90 instants to 2026-01-02T02:00:00Z" in lines[2]
    assert "by hand, event 18" in lines[3]
    assert "there is no workflow" in lines[4]
    (asked,) = fake.calls("GET", "/triggers/nightly/fires")
    assert asked.query == {"state": ["failed", "started"], "limit": ["5"]}
    assert flowdapt(*words, "-o", "json").json() == {"items": fires, "next": "c"}


def test_a_state_that_fires_never_have_is_refused_with_the_nearest(flowdapt: Program) -> None:
    ended = flowdapt("trigger", "history", "x", "--state", "fialed")
    assert ended.code == 2
    assert 'did you mean "failed"?' in ended.err


# -- by hand -------------------------------------------------------------------------------------------


def test_a_fire_by_hand_shows_its_run(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", "/triggers/nightly/fire", answer(fire(), 202))
    fake.on("GET", f"/runs/{run()['uid']}", answer(run()))
    ended = flowdapt("trigger", "fire", "nightly")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "✔ started  nightly"
    assert run()["name"] in ended.out
    assert json.loads(fake.calls("POST", "/triggers/nightly/fire")[0].body) == {}
    assert flowdapt("trigger", "fire", "nightly", "-o", "json").json()["number"] == 7


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("failed", 1)])
def test_who_waits_gets_the_run_and_its_exit_code(
    flowdapt: Program, fake: FakeDaemon, state: str, code: int
) -> None:
    fake.on("POST", "/triggers/nightly/fire", answer(fire(), 202))
    fake.on("GET", f"/runs/{run()['uid']}", answer(run(state=state)))
    ended = flowdapt("trigger", "fire", "nightly", "--wait", "-o", "json")
    assert (ended.code, ended.json()["state"]) == (code, state)


@pytest.mark.parametrize(
    ("more", "said", "code"),
    [
        ({"state": "skipped", "reason": "overlap"}, "a run of the rule is still open",
         "[trigger.skipped]"),
        ({"state": "failed", "reason": "resource.not_found", "error": "there is no workflow 'w'"},
         "there is no workflow 'w'", "[resource.not_found]"),
    ],
)  # fmt: skip
def test_a_fire_that_started_nothing_ends_with_1_and_says_why(
    flowdapt: Program, fake: FakeDaemon, more: dict[str, Any], said: str, code: str
) -> None:
    fake.on("POST", "/triggers/nightly/fire", answer(fire(runs=[], **more)))
    ended = flowdapt("trigger", "fire", "nightly", "--wait")
    assert ended.code == 1
    assert said in ended.err
    assert code in ended.err


def test_an_unknown_rule_ends_with_3(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", "/triggers/x/fire", problem(404, "resource.not_found", "there is no such rule"))
    assert flowdapt("trigger", "fire", "x").code == 3


def test_pause_and_resume_send_the_reason_and_show_the_state(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    paused = glance(state="paused", paused_reason="holidays")
    fake.on("POST", "/triggers/nightly/pause", answer(paused))
    fake.on("POST", "/triggers/nightly/resume", answer(glance()))
    assert (
        flowdapt("trigger", "pause", "nightly", "--reason", "holidays").out
        == "■ paused  nightly  holidays\n"
    )
    flowdapt("trigger", "pause", "nightly")
    first, second = fake.calls("POST", "/triggers/nightly/pause")
    assert (json.loads(first.body), json.loads(second.body)) == ({"reason": "holidays"}, {})
    assert flowdapt("trigger", "resume", "nightly", "-o", "json").json()["state"] == "armed"


# -- test ----------------------------------------------------------------------------------------------


def test_a_test_draws_the_clauses_with_the_reason_of_each(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("POST", "/triggers/low/test", answer(on_trial(obstacles=["the rule is disabled"])))
    ended = flowdapt("trigger", "test", "low", "--event", "18")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "✖ low would not fire for x",
        "  ✖ and",
        '    ✔ type eq "x"   type is "x"',
        "    ✖ data.loss lt 0.5   data.loss is 0.75",
        "  ▲ the rule is disabled",
        '  would do: run_workflow  {"workflow": "w"}',
    ]


def test_a_rule_that_would_fire_ends_with_0(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", "/triggers/low/test", answer(on_trial(holds=True, fires=True)))
    ended = flowdapt("trigger", "test", "low", "--event", "abc", "-o", "json")
    assert (ended.code, ended.json()["fires"]) == (0, True)


def test_a_schedule_says_when_it_would_fire(flowdapt: Program, fake: FakeDaemon) -> None:
    waits = on_trial(event=None, clause=None, next_at="2026-01-01T02:00:00Z")
    due = waits | {"fires": True, "due": ["2026-01-01T02:00:00Z"], "missed": 2}
    fake.on("POST", "/triggers/low/test", answer(waits), answer(due))
    first, second = flowdapt("trigger", "test", "low"), flowdapt("trigger", "test", "low")
    assert "low would not fire now, and not before 2026-01-01T02:00:00Z" in first.out
    assert "low would fire now, for 2026-01-01T02:00:00Z; 2 instants missed" in second.out
    assert (first.code, second.code) == (1, 0)


EVENT = {"type": "x", "data": {"loss": 0.75}}


def test_a_list_of_one_event_is_that_event(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", "/triggers/low/test", answer(on_trial()))
    printed = json.dumps({"items": [EVENT], "next": None})
    flowdapt("trigger", "test", "low", "--event", "-", stdin=printed)
    sent = json.loads(fake.calls("POST", "/triggers/low/test")[0].body)
    assert sent == {"event": EVENT}


@pytest.mark.parametrize("word", ["18", "abc", "-", "FILE.json", "FILE.yaml"])
def test_an_event_is_a_cursor_an_id_a_file_or_standard_input(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path, word: str
) -> None:
    fake.on("POST", "/triggers/low/test", answer(on_trial()))
    (tmp_path / "FILE.json").write_text(json.dumps(EVENT))
    (tmp_path / "FILE.yaml").write_text("type: x\ndata: {loss: 0.75}\n")
    given = str(tmp_path / word) if "FILE" in word else word
    flowdapt("trigger", "test", "low", "--event", given, stdin=json.dumps(EVENT))
    sent = json.loads(fake.calls("POST", "/triggers/low/test")[0].body)
    assert sent == {"event": {"18": 18, "abc": "abc"}.get(word, EVENT)}


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[1]", 2, "holds 1 value, and not one event"),
        ("", 2, "holds 0 values, and not one event"),
        ('{"items": [{"type": "a"}, {"type": "b"}]}', 2, "holds 2 values, and not one event"),
        ('{"type": ', 5, "-:1:10"),
    ],
)
def test_what_is_no_event_is_refused_before_anything_is_sent(
    flowdapt: Program, fake: FakeDaemon, text: str, code: int, said: str
) -> None:
    ended = flowdapt("trigger", "fire", "low", "--event", "-", stdin=text)
    assert (ended.code, fake.asked) == (code, [])
    assert said in ended.err


def test_a_file_that_is_not_there_ends_with_3(flowdapt: Program, fake: FakeDaemon) -> None:
    assert flowdapt("trigger", "test", "low", "--event", "nowhere.json").code == 3
    assert fake.asked == []


# -- elsewhere -----------------------------------------------------------------------------------------


def test_describe_tells_words_state_next_five_and_last_fires(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    spec = {"type": "schedule", "rule": ["0 3 * * *"], "action": {"target": "log"}}
    metadata = {"name": "nightly", "revision": 2, "uid": "u"}
    fake.on(
        "GET",
        "/triggers/nightly",
        answer({"kind": "trigger_rule", "metadata": metadata, "spec": spec}),
    )
    paused = glance(state="paused", paused_at="2026-01-01T00:00:00Z", paused_reason="holidays")
    fake.on("GET", "/triggers/nightly/status", answer(paused))
    fake.on("GET", "/triggers/nightly/next", answer(OUTLOOK))
    fake.on("GET", "/triggers/nightly/fires", answer({"items": [fire()], "next": None}))
    fake.on("GET", "/runs", answer({"items": [run()], "next": None}))
    out = flowdapt("describe", "trigger", "nightly").out
    assert "■ paused  at 03:00 every day (Europe/Berlin)" in out
    assert "2026-01-01T00:00:00Z  holidays" in out
    assert "Sat 2026-10-24 03:00:00 CEST" in out
    assert run()["name"] in out
    assert '  rule: ["0 3 * * *"]' in out
    assert fake.calls("GET", "/triggers/nightly/next")[0].query == {"n": ["5"]}


def test_apply_tells_a_rule_in_words_with_its_next_instants(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    applied = {
        "action": "created", "kind": "trigger_rule", "name": "nightly", "revision": 1, "diff": "",
        "warnings": ["a slip"], "outlook": OUTLOOK,
    }  # fmt: skip
    fake.on("POST", "/apply", answer({"items": [applied], "next": None}))
    ended = flowdapt("apply", "-f", "-", stdin="kind: trigger_rule")
    assert ended.out.splitlines()[1].split() == ["created", "trigger_rule", "nightly", "1"]
    told = ended.err.splitlines()
    assert told[:2] == ["nightly  at 03:00 every day (Europe/Berlin): once a day", "next:"]
    assert told[2].startswith("  Sat 2026-10-24 03:00:00 CEST")
    assert told[-1] == "▲ a slip"
    found = flowdapt("apply", "-f", "-", "-o", "json", stdin="kind: trigger_rule").json()
    assert found["items"][0]["outlook"] == OUTLOOK


def test_apply_says_nothing_of_a_rule_that_has_not_changed(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    applied = {
        "action": "unchanged", "kind": "trigger_rule", "name": "nightly", "revision": 1, "diff": "",
        "warnings": [], "outlook": OUTLOOK,
    }  # fmt: skip
    fake.on("POST", "/apply", answer({"items": [applied], "next": None}))
    assert flowdapt("apply", "-f", "-", stdin="kind: trigger_rule").err == ""


@pytest.mark.parametrize(
    ("per_day", "said"),
    [(1440, "1,440 times a day"), (6.4, "6.4 times a day"), (1, "once a day"),
     (0.033, "12.1 times a year"), (0, "never")],
)  # fmt: skip
def test_how_often_a_rule_fires_is_said_as_people_say_it(
    flowdapt: Program, fake: FakeDaemon, per_day: float, said: str
) -> None:
    fake.on("GET", "/triggers/nightly/next", answer(OUTLOOK | {"per_day": per_day}))
    fake.on("GET", "/triggers/nightly/status", answer(glance()))
    assert said in flowdapt("trigger", "next", "nightly").err


def test_status_counts_the_rules(flowdapt: Program, fake: FakeDaemon) -> None:
    status = {"version": "1", "pid": 1, "triggers": {"rules": 3, "paused": 1, "broken": 0}}
    fake.on("GET", "/status", answer(status))
    assert "triggers: 3 rules, 1 paused" in " ".join(flowdapt("status").out.split())


def test_the_doctor_names_rules_that_fire_no_more_unmeant(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    rules = [
        glance(),
        glance(name="held", state="paused", paused_reason="holidays"),
        glance(name="ill", state="paused", paused_reason="10 fires in a row", failures=10),
        glance(name="odd", state="broken", broken="no line"),
    ]
    warnings = ["trigger rule 'odd' means nothing: no line", "only 3 MiB are free on the disk"]
    fake.on("GET", "/readyz", answer(None, 204))
    fake.on("GET", "/check", answer({"problems": []}))
    fake.on("POST", "/gc", answer({"orphans": 0}))
    fake.on("GET", "/status", answer({"warnings": warnings}))
    fake.on("GET", "/plugins", answer({"items": []}))
    fake.on("GET", "/trigger-status", answer({"items": rules, "next": None}))
    found = flowdapt("doctor", "-o", "json").json()["items"]
    told = [(one["check"], one["message"], one["fix"]) for one in found if one["level"] != "ok"]
    history = "flowdapt trigger history ill, then  flowdapt trigger resume ill"
    # The socket is the test's own, and open to others.
    assert told[-3:] == [
        ("daemon", warnings[1], "flowdapt db gc  deletes what may go"),
        ("triggers", "rule ill is paused: 10 fires in a row", history),
        ("triggers", "rule odd means nothing: no line", "flowdapt edit trigger odd"),
    ]


def test_runs_of_a_rule_are_listed(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    flowdapt("runs", "ls", "--trigger", "nightly")
    flowdapt("get", "runs", "--where", "trigger=nightly")
    assert [one.query["trigger"] for one in fake.calls("GET", "/runs")] == [["nightly"]] * 2


def test_names_of_rules_and_states_of_fires_are_completed(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("GET", "/triggers", answer({"items": [{"metadata": {"name": "nightly"}}]}))
    assert flowdapt("__complete", "trigger", "pause", "n").out.split() == ["nightly"]
    assert flowdapt("__complete", "trigger", "h").out.split() == ["history"]
    states = flowdapt("__complete", "trigger", "history", "x", "--state", "s").out.split()
    assert states == ["skipped", "started"]


def test_the_short_n_is_the_namespace_where_no_command_needs_it(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    flowdapt("runs", "ls", "-n", "lab")
    assert fake.calls("GET", "/runs")[0].query["namespace"] == ["lab"]
