"""Check what rows can show of the invariants: every broken one is told in words.

Each rule is one query for the rows that break it, in words that every database understands.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from flowdapt.domain.executor_names import BUILT_IN_PROFILES
from flowdapt.domain.ledger import RESULT_GONE
from flowdapt.domain.run import RUN_TRANSITIONS, STAGE_TRANSITIONS, StageState
from flowdapt.stores.asking import Question
from flowdapt.stores.conditions import ACTIVE_RUN, OPEN_RUN, TERMINAL_RUN
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.links import Tx
from flowdapt.stores.reading import stages_of

__all__ = ["RULES", "check", "spelled"]

# How many offenders of one rule are named.
_NAMED = 20
# How many fires of a rule are looked at.
_FIRES = 1_000
_BEGUN = (StageState.RUNNING, StageState.RETRYING, StageState.FINISHED)

# Words of the queries that stand for what other modules decide.
_WORDS = {
    "<run states>": ", ".join(f"'{state}'" for state in RUN_TRANSITIONS),
    "<stage states>": ", ".join(f"'{state}'" for state in STAGE_TRANSITIONS),
    "<built-in executors>": ", ".join(f"'{name}'" for name in BUILT_IN_PROFILES),
    "<open>": f"(run.{OPEN_RUN})",
    "<active>": f"(run.{ACTIVE_RUN})",
    "<ended>": f"(run.{TERMINAL_RUN})",
    "<stage ended>": "(stage.state IN ('finished', 'failed', 'cancelled', 'skipped'))",
    "<result gone>": f"(task.state = 'lost' AND task.reason = '{RESULT_GONE}')",
    "<a stage where>": (
        "run.uid || ' stage ' || stage.name FROM stage JOIN run ON run.id = stage.run_id WHERE"
    ),
}

# sentence -> the query for those that break it.
RULES: dict[str, str] = {
    "has a state that does not exist": "SELECT uid FROM run WHERE state NOT IN (<run states>)",
    "has a stage in a state that does not exist": (
        "SELECT <a stage where> stage.state NOT IN (<stage states>)"
    ),
    "has an owner but is not running": (
        "SELECT uid FROM run WHERE owner IS NOT NULL AND NOT <active>"
    ),
    "is running in epoch 0: nobody ever claimed it": (
        "SELECT uid FROM run WHERE <active> AND epoch < 1"
    ),
    "is terminal without finished_at": (
        "SELECT uid FROM run WHERE <ended> AND finished_at IS NULL"
    ),
    "is open with finished_at": ("SELECT uid FROM run WHERE <open> AND finished_at IS NOT NULL"),
    "ended before it started or started before it was created": (
        "SELECT uid FROM run WHERE started_at < created_at OR finished_at < started_at "
        "OR finished_at < created_at"
    ),
    "is running without started_at": ("SELECT uid FROM run WHERE <active> AND started_at IS NULL"),
    "is terminal with an open stage": ("SELECT <a stage where> <ended> AND NOT <stage ended>"),
    "is finished with a stage that is not": (
        "SELECT <a stage where> run.state = 'finished' AND stage.state <> 'finished'"
    ),
    "is partial without a failed item": (
        "SELECT uid FROM run WHERE state = 'finished' AND partial AND NOT EXISTS "
        "(SELECT 1 FROM stage WHERE stage.run_id = run.id AND stage.items_failed > 0)"
    ),
    "has failed items but is not called partial": (
        "SELECT <a stage where> run.state = 'finished' AND NOT partial AND stage.items_failed > 0"
    ),
    "has a stage whose finished_at does not fit its state": (
        "SELECT <a stage where> <stage ended> <> (stage.finished_at IS NOT NULL)"
    ),
    "has a stage that ended before it started": (
        "SELECT <a stage where> stage.finished_at < stage.started_at"
    ),
    "waits for a retry that has no instant": (
        "SELECT <a stage where> stage.state = 'retrying' AND stage.next_at IS NULL"
    ),
    "has more finished attempts of a simple stage than results that were lost afterwards": (
        "SELECT <a stage where> stage.type = 'simple' AND 1 + (SELECT count(*) FROM task "
        "WHERE task.run_id = run.id AND task.stage = stage.name AND <result gone>) < "
        "(SELECT count(*) FROM task "
        "WHERE task.run_id = run.id AND task.stage = stage.name AND task.state = 'finished')"
    ),
    "has a finished simple stage without a finished attempt": (
        "SELECT <a stage where> stage.type = 'simple' AND stage.state = 'finished' "
        "AND NOT inherited AND NOT EXISTS (SELECT 1 FROM task WHERE task.run_id = run.id "
        "AND task.stage = stage.name AND task.state = 'finished')"
    ),
    "has an attempt of an epoch that has not begun": (
        "SELECT DISTINCT run.uid FROM task JOIN run ON run.id = task.run_id "
        "WHERE task.epoch > run.epoch"
    ),
    "has a journal with gaps": (
        "SELECT run.uid FROM run LEFT JOIN event ON event.run_id = run.id "
        "GROUP BY run.id, run.uid, run.next_seq HAVING count(event.seq) <> run.next_seq - 1 "
        "OR (count(event.seq) > 0 AND (min(event.seq) <> 1 OR max(event.seq) <> run.next_seq - 1))"
    ),
    "has not exactly one terminal event": (
        "SELECT uid FROM run WHERE <ended> AND 1 <> (SELECT count(*) FROM event "
        "WHERE event.run_id = run.id AND event.type = 'com.event.workflow.workflow_finished')"
    ),
    "has a terminal event but is open": (
        "SELECT uid FROM run WHERE <open> AND EXISTS (SELECT 1 FROM event "
        "WHERE event.run_id = run.id AND event.type = 'com.event.workflow.workflow_finished')"
    ),
    "has lost its definition or config": (
        "SELECT uid FROM run WHERE definition NOT IN (SELECT digest FROM document) "
        "OR config NOT IN (SELECT digest FROM document)"
    ),
    "(a resource) has lost its document": (
        "SELECT kind || ' ' || name FROM resource_revision "
        "WHERE digest NOT IN (SELECT digest FROM document)"
    ),
    "(a resource) is not at its newest revision": (
        "SELECT kind || ' ' || name FROM resource WHERE revision <> "
        "(SELECT coalesce(max(revision), 0) FROM resource_revision "
        "WHERE resource_revision.kind = resource.kind AND resource_revision.name = resource.name)"
    ),
    "was started by a trigger rule that it does not name": (
        "SELECT uid FROM run WHERE source = 'trigger' AND trigger_rule IS NULL"
    ),
    "(a fire) has runs and is not called started": (
        "SELECT rule || ' ' || id FROM fire WHERE state <> 'started' AND runs <> '[]'"
    ),
    "(a fire) waits for an open run of its rule, and there is none": (
        "SELECT rule || ' ' || id FROM fire WHERE state = 'waiting' AND rule NOT IN "
        "(SELECT name FROM resource WHERE kind = 'trigger_rule') AND NOT EXISTS "
        "(SELECT 1 FROM run WHERE run.trigger_rule = fire.rule AND <open>)"
    ),
    "(a trigger rule) would look again at an instant that it has decided": (
        "SELECT rule FROM rule_state WHERE EXISTS (SELECT 1 FROM fire "
        "WHERE fire.rule = rule_state.rule AND fire.generation = rule_state.generation "
        "AND fire.scheduled_at > rule_state.last_evaluated_at)"
    ),
    "(a trigger rule) is paused without a reason": (
        "SELECT rule FROM rule_state WHERE (paused_at IS NULL) <> (paused_reason IS NULL)"
    ),
    "(an executor) is the active one and has no profile": (
        "SELECT name FROM active_executor WHERE name NOT IN (<built-in executors>) "
        "AND name NOT IN (SELECT name FROM executor_profile)"
    ),
    "(an action) is to be done for a fire that started nothing": (
        "SELECT delivery.rule || ' ' || delivery.id FROM delivery "
        "JOIN fire ON fire.id = delivery.fire_id "
        "WHERE delivery.state = 'pending' AND fire.state <> 'started'"
    ),
}


def check(tx: Tx) -> list[str]:
    """Return the broken invariants, at most 20 offenders of each."""
    found = []
    for sentence, query in RULES.items():
        found += [f"{row[0]} {sentence}" for row in tx.select(spelled(query))[:_NAMED]]
    found += [f"{name} is ahead of its dependency {other}" for name, other in _ahead(tx)]
    found += [
        f"{rule} has several open fires, which overlap: forbid rules out" for rule in _crowded(tx)
    ]
    if tx.name == SQLITE:
        found += [
            f"{row[0]} row {row[1]} has lost its {row[2]}"
            for row in tx.select("PRAGMA foreign_key_check")
        ]
    return found


def spelled(query: str) -> str:
    """Return the query with its words written out."""
    for word, meaning in _WORDS.items():
        query = query.replace(word, meaning)
    return query


def _ahead(tx: Tx) -> Iterator[tuple[str, str]]:
    """Yield stages of open runs that began before what they depend on was finished."""
    runs = tx.select(
        spelled(
            "SELECT run.id, run.uid, document.body FROM run JOIN document "
            "ON document.digest = run.definition WHERE <active>"
        )
    )
    for run_id, uid, body in runs:
        stages = stages_of(tx, run_id)
        states = {stage.name: stage.state for stage in stages}
        # A result that was lost is made again while others, which had it in time, are done or go on.
        again = {stage.name for stage in stages if stage.recoveries}
        for stage in json.loads(body).get("stages", []):
            if states.get(stage.get("name")) in _BEGUN:
                for other in set(_dependencies(stage)) - again:
                    if states.get(other, StageState.FINISHED) is not StageState.FINISHED:
                        yield f"{uid} stage {stage['name']}", other


def _crowded(tx: Tx) -> Iterator[str]:
    """Yield rules that forbid overlap and have open runs of more than one fire of theirs."""
    open_runs: dict[str, set[str]] = defaultdict(set)
    query = "SELECT trigger_rule, uid FROM run WHERE <open> AND trigger_rule IS NOT NULL"
    for rule, uid in tx.select(spelled(query)):
        open_runs[rule].add(uid)
    rules = tx.select(
        "SELECT name, updated_at, body FROM resource JOIN document "
        "ON document.digest = resource.digest WHERE kind = 'trigger_rule'"
    )
    for name, updated_at, body in rules:
        uids = open_runs[name]
        if len(uids) > 1 and json.loads(body).get("overlap", "forbid") == "forbid":
            # What ran when the rule came to forbid it may run on.
            fires = Question("id, runs", "fire")
            fires.where("rule = ? AND state = 'started' AND fired_at > ?", name, updated_at)
            rows = fires.ask(tx, "id DESC", _FIRES)
            if sum(not uids.isdisjoint(json.loads(row[1])) for row in rows) > 1:
                yield name


def _dependencies(stage: dict[str, Any]) -> list[str]:
    names = stage.get("depends_on") or []
    return [names] if isinstance(names, str) else [str(name) for name in names]
