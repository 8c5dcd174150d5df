"""SQLite's texts, compiled ahead. Made by `python -m flowdapt.stores.prepare`: not edited by hand.

The sources are `rows` and the modules named `statements`, which say why each is as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowdapt.stores.named import Sql

# One statement is one line.
# fmt: off

# Where a row of `run` holds what is wanted without its record.
UID = 1
NAME = 2
STATE = 5
DEFINITION = 9
CREATED_AT = 11

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "run": ("id", "uid", "name", "workflow", "revision", "state", "source", "namespace", "executor", "definition", "config", "created_at", "reason", "partial", "priority", "labels", "experiment", "trial", "parent", "idempotency_key", "body_digest", "causation_depth", "trigger_rule", "max_runs", "owner", "epoch", "next_seq", "started_at", "finished_at", "cancel_requested_at", "cancel_reason", "timeout_s", "error", "input", "result"),
    "task": ("run_id", "stage", "start", "attempt", "stop", "epoch", "state", "started_at", "finished_at", "reason", "worker_pid", "error", "value"),
    "item": ("run_id", "stage", "idx", "state", "attempt", "losses", "next_at", "error"),
    "event": ("cursor", "id", "time", "type", "source", "subject", "run_id", "seq", "correlation_id", "causation_depth", "data"),
    "fire": ("id", "rule", "generation", "kind", "scheduled_at", "event_id", "event_cursor", "state", "reason", "error", "slots", "until", "fired_at", "runs"),
}

INSERT_RUN = Sql("INSERT_RUN", "INSERT INTO run (uid, name, workflow, revision, state, source, namespace, executor, definition, config, created_at, reason, partial, priority, labels, experiment, trial, parent, idempotency_key, body_digest, causation_depth, trigger_rule, max_runs, owner, epoch, next_seq, started_at, finished_at, cancel_requested_at, cancel_reason, timeout_s, error, input, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id")
RUN_ID = Sql("RUN_ID", "SELECT run.id FROM run WHERE run.uid = ?")
GET_RUN = Sql("GET_RUN", "SELECT run.id, run.uid, run.name, run.workflow, run.revision, run.state, run.source, run.namespace, run.executor, run.definition, run.config, run.created_at, run.reason, run.partial, run.priority, run.labels, run.experiment, run.trial, run.parent, run.idempotency_key, run.body_digest, run.causation_depth, run.trigger_rule, run.max_runs, run.owner, run.epoch, run.next_seq, run.started_at, run.finished_at, run.cancel_requested_at, run.cancel_reason, run.timeout_s, run.error, run.input, run.result FROM run WHERE run.uid = ?")
GET_RUN_BY_ID = Sql("GET_RUN_BY_ID", "SELECT run.id, run.uid, run.name, run.workflow, run.revision, run.state, run.source, run.namespace, run.executor, run.definition, run.config, run.created_at, run.reason, run.partial, run.priority, run.labels, run.experiment, run.trial, run.parent, run.idempotency_key, run.body_digest, run.causation_depth, run.trigger_rule, run.max_runs, run.owner, run.epoch, run.next_seq, run.started_at, run.finished_at, run.cancel_requested_at, run.cancel_reason, run.timeout_s, run.error, run.input, run.result FROM run WHERE run.id = ?")
OWNED_RUN = Sql("OWNED_RUN", "SELECT run.id, run.next_seq FROM run WHERE run.uid = ? AND run.epoch = ? AND state IN ('queued', 'running', 'cancelling')")
SET_NEXT_SEQ = Sql("SET_NEXT_SEQ", "UPDATE run SET next_seq=? WHERE id = ?")
PATCH_RUN = Sql("PATCH_RUN", "UPDATE run SET state=?, reason=?, partial=?, next_seq=?, started_at=?, finished_at=?, error=?, result=? WHERE id = ?")
END_RUN = Sql("END_RUN", "UPDATE run SET state=?, reason=?, partial=?, owner=NULL, next_seq=?, started_at=?, finished_at=?, error=?, result=? WHERE id = ?")
RELEASE_RUN = Sql("RELEASE_RUN", "UPDATE run SET owner=NULL WHERE id = ?")
OLD_KEY = Sql("OLD_KEY", "SELECT run.id, run.uid, run.name, run.workflow, run.revision, run.state, run.source, run.namespace, run.executor, run.definition, run.config, run.created_at, run.reason, run.partial, run.priority, run.labels, run.experiment, run.trial, run.parent, run.idempotency_key, run.body_digest, run.causation_depth, run.trigger_rule, run.max_runs, run.owner, run.epoch, run.next_seq, run.started_at, run.finished_at, run.cancel_requested_at, run.cancel_reason, run.timeout_s, run.error, run.input, run.result FROM run WHERE run.workflow = ? AND run.idempotency_key = ?")
COUNT_QUEUED = Sql("COUNT_QUEUED", "SELECT count(*) AS count_1 FROM run WHERE state = 'queued'")
COUNT_OPEN = Sql("COUNT_OPEN", "SELECT run.state, count(*) AS count_1 FROM run WHERE state IN ('queued', 'running', 'cancelling') GROUP BY run.state")
COUNT_ENDED = Sql("COUNT_ENDED", "SELECT run.state, count(*) AS count_1 FROM run WHERE state IN ('finished', 'failed', 'cancelled') GROUP BY run.state")
OPEN_OF_WORKFLOW = Sql("OPEN_OF_WORKFLOW", "SELECT run.uid FROM run WHERE run.workflow = ? AND state IN ('queued', 'running', 'cancelling')")
COUNT_ACTIVE = Sql("COUNT_ACTIVE", "SELECT count(*) AS count_1 FROM run WHERE run.workflow = ? AND state IN ('queued', 'running', 'cancelling') AND state <> 'queued'")
QUEUE = Sql("QUEUE", "SELECT run.id, run.workflow, run.max_runs FROM run WHERE state = 'queued' ORDER BY run.priority DESC, run.id")
LOCK_QUEUED = Sql("LOCK_QUEUED", "SELECT run.id FROM run WHERE id = ? AND state = 'queued'")
UNOWNED = Sql("UNOWNED", "SELECT run.id FROM run WHERE state IN ('running', 'cancelling') AND run.owner IS NULL ORDER BY run.id LIMIT ? OFFSET 0")
OWNED_BY = Sql("OWNED_BY", "SELECT run.id FROM run WHERE state IN ('running', 'cancelling') AND owner = ? ORDER BY run.id")
OWNERS = Sql("OWNERS", "SELECT DISTINCT run.owner FROM run WHERE state IN ('running', 'cancelling') AND run.owner IS NOT NULL")
TAKE_OVER = Sql("TAKE_OVER", "UPDATE run SET owner=?, epoch=(run.epoch + 1) WHERE id = ?")
START_RUN = Sql("START_RUN", "UPDATE run SET state='running', owner=?, epoch=(run.epoch + 1), next_seq=(run.next_seq + 1), started_at=? WHERE id = ?")
REQUEST_CANCEL = Sql("REQUEST_CANCEL", "UPDATE run SET cancel_requested_at=?, cancel_reason=? WHERE id = ?")
EXPIRED = Sql("EXPIRED", "SELECT run.id, run.uid, run.workflow FROM run WHERE coalesce(run.finished_at, -1) < ? AND state IN ('finished', 'failed', 'cancelled') ORDER BY coalesce(run.finished_at, -1), run.id")
NEWEST = Sql("NEWEST", "SELECT run.id FROM run WHERE run.workflow = ? ORDER BY run.id DESC LIMIT 1 OFFSET ?")
DELETE_RUN = Sql("DELETE_RUN", "DELETE FROM run WHERE id = ?")
FIND_BY_PREFIX = Sql("FIND_BY_PREFIX", "SELECT run.id, run.uid, run.name, run.workflow, run.revision, run.state, run.source, run.namespace, run.executor, run.definition, run.config, run.created_at, run.reason, run.partial, run.priority, run.labels, run.experiment, run.trial, run.parent, run.idempotency_key, run.body_digest, run.causation_depth, run.trigger_rule, run.max_runs, run.owner, run.epoch, run.next_seq, run.started_at, run.finished_at, run.cancel_requested_at, run.cancel_reason, run.timeout_s, run.error, run.input, run.result FROM run WHERE run.uid >= ? AND run.uid < ? OR run.name >= ? AND run.name < ? LIMIT 4 OFFSET 0")
FIND_BY_NAME = Sql("FIND_BY_NAME", "SELECT run.id, run.uid, run.name, run.workflow, run.revision, run.state, run.source, run.namespace, run.executor, run.definition, run.config, run.created_at, run.reason, run.partial, run.priority, run.labels, run.experiment, run.trial, run.parent, run.idempotency_key, run.body_digest, run.causation_depth, run.trigger_rule, run.max_runs, run.owner, run.epoch, run.next_seq, run.started_at, run.finished_at, run.cancel_requested_at, run.cancel_reason, run.timeout_s, run.error, run.input, run.result FROM run WHERE run.name = ? LIMIT 3 OFFSET 0")
INSERT_STAGE = Sql("INSERT_STAGE", "INSERT INTO stage (run_id, position, name, type, state, reason, attempt, losses, recoveries, next_at, started_at, finished_at, items_total, items_finished, items_failed, inherited, error, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
PATCH_STAGE = Sql("PATCH_STAGE", "UPDATE stage SET state=?, reason=?, attempt=?, losses=?, recoveries=?, next_at=?, started_at=?, finished_at=?, items_total=?, items_finished=?, items_failed=?, inherited=?, error=?, result=? WHERE run_id = ? AND position = ?")
LIST_STAGES = Sql("LIST_STAGES", "SELECT stage.run_id, stage.position, stage.name, stage.type, stage.state, stage.reason, stage.attempt, stage.losses, stage.recoveries, stage.next_at, stage.started_at, stage.finished_at, stage.items_total, stage.items_finished, stage.items_failed, stage.inherited, stage.error, stage.result FROM stage WHERE run_id = ? ORDER BY stage.position")
CANCEL_STAGES = Sql("CANCEL_STAGES", "UPDATE stage SET state='cancelled', next_at=NULL, finished_at=? WHERE run_id = ? AND state IN ('pending', 'running', 'retrying')")
DRAIN_STAGES = Sql("DRAIN_STAGES", "UPDATE stage SET state='pending' WHERE run_id = ? AND state = 'running'")
PUT_TASK = Sql("PUT_TASK", "INSERT INTO task (run_id, stage, start, attempt, stop, epoch, state, started_at, finished_at, reason, worker_pid, error, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, stage, start, attempt, stop, epoch, state) DO UPDATE SET started_at = excluded.started_at, finished_at = excluded.finished_at, reason = excluded.reason, worker_pid = excluded.worker_pid, error = excluded.error, value = excluded.value")
LIST_ALL_TASKS = Sql("LIST_ALL_TASKS", "SELECT task.run_id, task.stage, task.start, task.attempt, task.stop, task.epoch, task.state, task.started_at, task.finished_at, task.reason, task.worker_pid, task.error, task.value FROM task WHERE run_id = ? ORDER BY task.stage, task.start, task.attempt, task.stop, task.epoch, task.state")
PUT_ITEM = Sql("PUT_ITEM", "INSERT INTO item (run_id, stage, idx, state, attempt, losses, next_at, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, stage, idx) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, losses = excluded.losses, next_at = excluded.next_at, error = excluded.error")
LIST_ALL_ITEMS = Sql("LIST_ALL_ITEMS", "SELECT item.run_id, item.stage, item.idx, item.state, item.attempt, item.losses, item.next_at, item.error FROM item WHERE run_id = ? ORDER BY item.stage, item.idx")
PUT_METRIC = Sql("PUT_METRIC", "INSERT INTO metric (run_id, stage, name, idx, step, value, time) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, stage, name, idx, step) DO UPDATE SET value = excluded.value, time = excluded.time")
LIST_METRICS = Sql("LIST_METRICS", "SELECT metric.run_id, metric.stage, metric.name, metric.idx, metric.step, metric.value, metric.time FROM metric WHERE run_id = ? ORDER BY metric.stage, metric.name, metric.idx, metric.step")
WRITE_EVENT = Sql("WRITE_EVENT", "INSERT INTO event (id, time, type, source, subject, run_id, seq, correlation_id, causation_depth, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
INSERT_EVENT = Sql("INSERT_EVENT", "INSERT INTO event (id, time, type, source, subject, run_id, seq, correlation_id, causation_depth, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING cursor")
PUT_SERVICE = Sql("PUT_SERVICE", "INSERT INTO service (owner, beat_at, about) VALUES (?, ?, ?) ON CONFLICT (owner) DO UPDATE SET beat_at = excluded.beat_at, about = excluded.about")
LIST_SERVICES = Sql("LIST_SERVICES", "SELECT service.owner, service.beat_at FROM service")
DELETE_OLD_EVENTS = Sql("DELETE_OLD_EVENTS", "DELETE FROM event WHERE event.cursor IN (SELECT event.cursor FROM event WHERE event.run_id IS NULL AND event.time < ? ORDER BY event.time LIMIT ? OFFSET 0)")
PUT_RESOURCE = Sql("PUT_RESOURCE", "INSERT INTO resource (kind, name, uid, revision, created_at, updated_at, annotations, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET uid = excluded.uid, revision = excluded.revision, created_at = excluded.created_at, updated_at = excluded.updated_at, annotations = excluded.annotations, digest = excluded.digest")
INSERT_REVISION = Sql("INSERT_REVISION", "INSERT INTO resource_revision (kind, name, revision, updated_at, annotations, digest) VALUES (?, ?, ?, ?, ?, ?)")
GET_RESOURCE = Sql("GET_RESOURCE", "SELECT resource.kind, resource.name, resource.uid, resource.revision, resource.created_at, resource.updated_at, resource.annotations, resource.digest FROM resource WHERE kind = ? AND name = ?")
LIST_RESOURCES = Sql("LIST_RESOURCES", "SELECT resource.kind, resource.name, resource.uid, resource.revision, resource.created_at, resource.updated_at, resource.annotations, resource.digest FROM resource WHERE kind = ? AND resource.name > ? ORDER BY resource.name LIMIT ? OFFSET 0")
GET_REVISION = Sql("GET_REVISION", "SELECT resource_revision.kind, resource_revision.name, resource.uid, resource_revision.revision, resource.created_at, resource_revision.updated_at, resource_revision.annotations, resource_revision.digest FROM resource_revision JOIN resource ON resource.kind = resource_revision.kind AND resource.name = resource_revision.name WHERE resource_revision.kind = ? AND resource_revision.name = ? AND resource_revision.revision = ?")
LIST_REVISIONS = Sql("LIST_REVISIONS", "SELECT resource_revision.kind, resource_revision.name, resource.uid, resource_revision.revision, resource.created_at, resource_revision.updated_at, resource_revision.annotations, resource_revision.digest FROM resource_revision JOIN resource ON resource.kind = resource_revision.kind AND resource.name = resource_revision.name WHERE resource_revision.kind = ? AND resource_revision.name = ? AND resource_revision.revision < ? ORDER BY resource_revision.revision DESC LIMIT ? OFFSET 0")
SWEEP_DOCUMENTS = Sql("SWEEP_DOCUMENTS", "DELETE FROM document WHERE document.used_at < ? AND (document.digest NOT IN (SELECT run.definition FROM run UNION ALL SELECT run.config FROM run UNION ALL SELECT resource_revision.digest FROM resource_revision))")
DELETE_RESOURCE = Sql("DELETE_RESOURCE", "DELETE FROM resource WHERE kind = ? AND name = ?")
GET_DOCUMENT = Sql("GET_DOCUMENT", "SELECT document.body FROM document WHERE digest = ?")
META_KEYS = Sql("META_KEYS", "SELECT meta.\"key\", meta.value FROM meta")
PUT_META = Sql("PUT_META", "INSERT INTO meta (\"key\", value) VALUES (?, ?) ON CONFLICT (\"key\") DO UPDATE SET value = excluded.value")
PUT_DOCUMENT = Sql("PUT_DOCUMENT", "INSERT INTO document (digest, body, used_at) VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET used_at = excluded.used_at")
PUT_RULE_STATE = Sql("PUT_RULE_STATE", "INSERT INTO rule_state (rule, signature, generation, not_before, last_evaluated_at, paused_at, paused_reason, failures) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rule) DO UPDATE SET signature = excluded.signature, generation = excluded.generation, not_before = excluded.not_before, last_evaluated_at = excluded.last_evaluated_at, paused_at = excluded.paused_at, paused_reason = excluded.paused_reason, failures = excluded.failures")
LIST_RULE_STATES = Sql("LIST_RULE_STATES", "SELECT rule_state.rule, rule_state.signature, rule_state.generation, rule_state.not_before, rule_state.last_evaluated_at, rule_state.paused_at, rule_state.paused_reason, rule_state.failures FROM rule_state")
GET_RULE_STATE = Sql("GET_RULE_STATE", "SELECT rule_state.rule, rule_state.signature, rule_state.generation, rule_state.not_before, rule_state.last_evaluated_at, rule_state.paused_at, rule_state.paused_reason, rule_state.failures FROM rule_state WHERE rule = ?")
RULE_REVISION = Sql("RULE_REVISION", "SELECT resource.revision FROM resource WHERE kind = 'trigger_rule' AND resource.name = ?")
OPEN_OF_RULE = Sql("OPEN_OF_RULE", "SELECT run.uid FROM run WHERE run.trigger_rule = ? AND state IN ('queued', 'running', 'cancelling') ORDER BY run.id")
INSERT_FIRE = Sql("INSERT_FIRE", "INSERT INTO fire (rule, generation, kind, scheduled_at, event_id, event_cursor, state, reason, error, slots, until, fired_at, runs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id")
END_FIRE = Sql("END_FIRE", "UPDATE fire SET state=?, reason=?, error=?, runs=? WHERE id = ?")
GET_FIRE = Sql("GET_FIRE", "SELECT fire.id, fire.rule, fire.generation, fire.kind, fire.scheduled_at, fire.event_id, fire.event_cursor, fire.state, fire.reason, fire.error, fire.slots, fire.until, fire.fired_at, fire.runs FROM fire WHERE id = ?")
FIRE_OF_SLOT = Sql("FIRE_OF_SLOT", "SELECT fire.id, fire.rule, fire.generation, fire.kind, fire.scheduled_at, fire.event_id, fire.event_cursor, fire.state, fire.reason, fire.error, fire.slots, fire.until, fire.fired_at, fire.runs FROM fire WHERE fire.rule = ? AND fire.generation = ? AND fire.scheduled_at = ?")
FIRE_OF_EVENT = Sql("FIRE_OF_EVENT", "SELECT fire.id, fire.rule, fire.generation, fire.kind, fire.scheduled_at, fire.event_id, fire.event_cursor, fire.state, fire.reason, fire.error, fire.slots, fire.until, fire.fired_at, fire.runs FROM fire WHERE fire.rule = ? AND fire.event_id = ?")
WAITING_OF_RULE = Sql("WAITING_OF_RULE", "SELECT fire.id FROM fire WHERE fire.rule = ? AND state = 'waiting'")
WAITING_FIRES = Sql("WAITING_FIRES", "SELECT fire.id, fire.rule, fire.generation, fire.kind, fire.scheduled_at, fire.event_id, fire.event_cursor, fire.state, fire.reason, fire.error, fire.slots, fire.until, fire.fired_at, fire.runs FROM fire WHERE fire.state = 'waiting' AND NOT (EXISTS (SELECT run.id FROM run WHERE run.trigger_rule = fire.rule AND run.state IN ('queued', 'running', 'cancelling'))) ORDER BY fire.id")
RECENT_FIRES = Sql("RECENT_FIRES", "SELECT count(*) AS count_1, coalesce(sum(CASE WHEN (fire.reason = 'rate') THEN 1 ELSE 0 END), 0) AS coalesce_1 FROM fire WHERE kind = 'condition' AND fire.rule = ? AND fire.fired_at > ?")
DELETE_OLD_FIRES = Sql("DELETE_OLD_FIRES", "DELETE FROM fire WHERE fire.id IN (SELECT fire.id FROM fire WHERE fire.fired_at < ? AND state <> 'waiting' ORDER BY fire.fired_at LIMIT ? OFFSET 0)")
INSERT_DELIVERY = Sql("INSERT_DELIVERY", "INSERT INTO delivery (fire_id, rule, action, state, attempt, next_at, error, parameters, occasion) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
DUE_DELIVERIES = Sql("DUE_DELIVERIES", "SELECT delivery.id, delivery.rule, delivery.fire_id, delivery.action, delivery.parameters, delivery.occasion, delivery.attempt FROM delivery WHERE state = 'pending' AND delivery.next_at <= ? ORDER BY delivery.next_at, delivery.id LIMIT ? OFFSET 0")
TAKE_DELIVERY = Sql("TAKE_DELIVERY", "UPDATE delivery SET attempt=(delivery.attempt + 1), next_at=? WHERE id = ?")
END_DELIVERY = Sql("END_DELIVERY", "UPDATE delivery SET state=?, next_at=?, error=? WHERE id = ?")
GET_CONSUMER = Sql("GET_CONSUMER", "SELECT consumer.cursor FROM consumer WHERE name = ?")
PUT_CONSUMER = Sql("PUT_CONSUMER", "INSERT INTO consumer (name, cursor) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor")
NEWEST_CURSOR = Sql("NEWEST_CURSOR", "SELECT coalesce(max(event.cursor), 0) AS coalesce_1 FROM event")
FIRST_SINCE = Sql("FIRST_SINCE", "SELECT event.cursor FROM event WHERE run_id IS NULL AND event.time >= ? ORDER BY event.time, event.cursor LIMIT 1 OFFSET 0")
OWN_EVENT = Sql("OWN_EVENT", "SELECT event.cursor, event.id, event.time, event.type, event.source, event.subject, event.run_id, event.seq, event.correlation_id, event.causation_depth, event.data FROM event WHERE run_id IS NULL AND event.id = ?")
INSERT_PROFILE = Sql("INSERT_PROFILE", "INSERT INTO executor_profile (name, kind, options, created_at) VALUES (?, ?, ?, ?)")
LIST_PROFILES = Sql("LIST_PROFILES", "SELECT executor_profile.name, executor_profile.kind, executor_profile.options, executor_profile.created_at FROM executor_profile ORDER BY executor_profile.name")
GET_PROFILE = Sql("GET_PROFILE", "SELECT executor_profile.name, executor_profile.kind, executor_profile.options, executor_profile.created_at FROM executor_profile WHERE name = ?")
DELETE_PROFILE = Sql("DELETE_PROFILE", "DELETE FROM executor_profile WHERE name = ?")
GET_ACTIVE = Sql("GET_ACTIVE", "SELECT active_executor.name, active_executor.previous, active_executor.revision FROM active_executor")
PUT_ACTIVE = Sql("PUT_ACTIVE", "INSERT INTO active_executor (id, name, previous, revision) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, previous = excluded.previous, revision = excluded.revision")
COUNT_PINNED = Sql("COUNT_PINNED", "SELECT run.executor, count(*) AS count_1 FROM run WHERE state IN ('queued', 'running', 'cancelling') GROUP BY run.executor")

CREATION: tuple[str, ...] = (
    "\nCREATE TABLE active_executor (\n\tid INTEGER NOT NULL, \n\tname TEXT NOT NULL, \n\tprevious TEXT, \n\trevision BIGINT NOT NULL, \n\tCONSTRAINT pk_active_executor PRIMARY KEY (id), \n\tCONSTRAINT ck_active_executor_one CHECK (id = 1)\n)\n\n",
    "\nCREATE TABLE consumer (\n\tname TEXT NOT NULL, \n\tcursor BIGINT NOT NULL, \n\tCONSTRAINT pk_consumer PRIMARY KEY (name)\n)\n\n",
    "\nCREATE TABLE document (\n\tdigest TEXT NOT NULL, \n\tbody TEXT NOT NULL, \n\tused_at BIGINT NOT NULL, \n\tCONSTRAINT pk_document PRIMARY KEY (digest)\n)\n\n",
    "\nCREATE TABLE executor_profile (\n\tname TEXT NOT NULL, \n\tkind TEXT NOT NULL, \n\toptions TEXT NOT NULL, \n\tcreated_at BIGINT NOT NULL, \n\tCONSTRAINT pk_executor_profile PRIMARY KEY (name)\n)\n\n",
    "\nCREATE TABLE fire (\n\tid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, \n\trule TEXT NOT NULL, \n\tgeneration BIGINT NOT NULL, \n\tkind TEXT NOT NULL, \n\tscheduled_at BIGINT, \n\tevent_id TEXT, \n\tevent_cursor BIGINT, \n\tstate TEXT NOT NULL, \n\treason TEXT, \n\terror TEXT, \n\tslots BIGINT NOT NULL, \n\tuntil BIGINT, \n\tfired_at BIGINT NOT NULL, \n\truns TEXT NOT NULL, \n\tCONSTRAINT ck_fire_state CHECK (state IN ('started', 'waiting', 'skipped', 'missed', 'failed')), \n\tCONSTRAINT ck_fire_slots CHECK (slots >= 1)\n)\n\n",
    "CREATE INDEX ix_fire_recent ON fire (rule, fired_at) WHERE kind = 'condition'",
    "CREATE INDEX ix_fire_rule ON fire (rule, id)",
    "CREATE INDEX ix_fire_time ON fire (fired_at)",
    "CREATE INDEX ix_fire_waiting ON fire (id) WHERE state = 'waiting'",
    "CREATE UNIQUE INDEX uq_fire_event ON fire (rule, event_id) WHERE event_id IS NOT NULL",
    "CREATE UNIQUE INDEX uq_fire_slot ON fire (rule, generation, scheduled_at) WHERE scheduled_at IS NOT NULL",
    "\nCREATE TABLE meta (\n\t\"key\" TEXT NOT NULL, \n\tvalue TEXT NOT NULL, \n\tCONSTRAINT pk_meta PRIMARY KEY (\"key\")\n)\n\n",
    "\nCREATE TABLE resource (\n\tkind TEXT NOT NULL, \n\tname TEXT NOT NULL, \n\tuid TEXT NOT NULL, \n\trevision BIGINT NOT NULL, \n\tcreated_at BIGINT NOT NULL, \n\tupdated_at BIGINT NOT NULL, \n\tannotations TEXT NOT NULL, \n\tdigest TEXT NOT NULL, \n\tCONSTRAINT pk_resource PRIMARY KEY (kind, name), \n\tCONSTRAINT ck_resource_revision CHECK (revision >= 1)\n)\n\n",
    "\nCREATE TABLE rule_state (\n\trule TEXT NOT NULL, \n\tsignature TEXT NOT NULL, \n\tgeneration BIGINT NOT NULL, \n\tnot_before BIGINT NOT NULL, \n\tlast_evaluated_at BIGINT NOT NULL, \n\tpaused_at BIGINT, \n\tpaused_reason TEXT, \n\tfailures INTEGER NOT NULL, \n\tCONSTRAINT pk_rule_state PRIMARY KEY (rule)\n)\n\n",
    "\nCREATE TABLE run (\n\tid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, \n\tuid TEXT NOT NULL, \n\tname TEXT NOT NULL, \n\tworkflow TEXT NOT NULL, \n\trevision BIGINT NOT NULL, \n\tstate TEXT NOT NULL, \n\tsource TEXT NOT NULL, \n\tnamespace TEXT NOT NULL, \n\texecutor TEXT NOT NULL, \n\tdefinition TEXT NOT NULL, \n\tconfig TEXT NOT NULL, \n\tcreated_at BIGINT NOT NULL, \n\treason TEXT, \n\tpartial BOOLEAN NOT NULL, \n\tpriority BIGINT NOT NULL, \n\tlabels TEXT NOT NULL, \n\texperiment TEXT, \n\ttrial BIGINT, \n\tparent TEXT, \n\tidempotency_key TEXT, \n\tbody_digest TEXT, \n\tcausation_depth INTEGER NOT NULL, \n\ttrigger_rule TEXT, \n\tmax_runs BIGINT, \n\towner TEXT, \n\tepoch BIGINT NOT NULL, \n\tnext_seq BIGINT NOT NULL, \n\tstarted_at BIGINT, \n\tfinished_at BIGINT, \n\tcancel_requested_at BIGINT, \n\tcancel_reason TEXT, \n\ttimeout_s FLOAT, \n\terror BLOB, \n\tinput BLOB NOT NULL, \n\tresult BLOB, \n\tCONSTRAINT ck_run_state CHECK (state IN ('queued', 'running', 'cancelling', 'finished', 'failed', 'cancelled')), \n\tCONSTRAINT ck_run_finished_at CHECK ((state IN ('finished', 'failed', 'cancelled')) = (finished_at IS NOT NULL)), \n\tCONSTRAINT ck_run_counters CHECK (epoch >= 0 AND next_seq >= 1), \n\tCONSTRAINT ck_run_owner CHECK (owner IS NULL OR (state IN ('queued', 'running', 'cancelling'))), \n\tCONSTRAINT uq_run_uid UNIQUE (uid)\n)\n\n",
    "CREATE INDEX ix_run_active ON run (owner, id) WHERE state IN ('running', 'cancelling')",
    "CREATE INDEX ix_run_duration ON run (coalesce(finished_at - started_at, -1), id)",
    "CREATE INDEX ix_run_ended ON run (state, id) WHERE state IN ('finished', 'failed', 'cancelled')",
    "CREATE INDEX ix_run_finished ON run (coalesce(finished_at, -1), id)",
    "CREATE INDEX ix_run_name ON run (name)",
    "CREATE INDEX ix_run_open ON run (workflow, state) WHERE state IN ('queued', 'running', 'cancelling')",
    "CREATE INDEX ix_run_parent ON run (parent) WHERE parent IS NOT NULL",
    "CREATE INDEX ix_run_queue ON run (priority DESC, id, workflow, max_runs, state) WHERE state = 'queued'",
    "CREATE INDEX ix_run_rule ON run (trigger_rule, state) WHERE trigger_rule IS NOT NULL",
    "CREATE INDEX ix_run_started ON run (coalesce(started_at, -1), id)",
    "CREATE INDEX ix_run_workflow ON run (workflow, id)",
    "CREATE UNIQUE INDEX uq_run_idempotency ON run (workflow, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "\nCREATE TABLE service (\n\towner TEXT NOT NULL, \n\tbeat_at BIGINT NOT NULL, \n\tabout TEXT NOT NULL, \n\tCONSTRAINT pk_service PRIMARY KEY (owner)\n)\n\n",
    "\nCREATE TABLE delivery (\n\tid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, \n\tfire_id INTEGER NOT NULL, \n\trule TEXT NOT NULL, \n\taction TEXT NOT NULL, \n\tstate TEXT NOT NULL, \n\tattempt INTEGER NOT NULL, \n\tnext_at BIGINT NOT NULL, \n\terror TEXT, \n\tparameters TEXT NOT NULL, \n\toccasion TEXT NOT NULL, \n\tCONSTRAINT ck_delivery_state CHECK (state IN ('pending', 'delivered', 'failed')), \n\tCONSTRAINT fk_delivery_fire FOREIGN KEY(fire_id) REFERENCES fire (id) ON DELETE CASCADE\n)\n\n",
    "CREATE INDEX ix_delivery_due ON delivery (next_at, id) WHERE state = 'pending'",
    "CREATE INDEX ix_delivery_fire ON delivery (fire_id)",
    "\nCREATE TABLE event (\n\tcursor INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, \n\tid TEXT NOT NULL, \n\ttime BIGINT NOT NULL, \n\ttype TEXT NOT NULL, \n\tsource TEXT NOT NULL, \n\tsubject TEXT NOT NULL, \n\trun_id INTEGER, \n\tseq BIGINT, \n\tcorrelation_id TEXT, \n\tcausation_depth INTEGER NOT NULL, \n\tdata TEXT NOT NULL, \n\tCONSTRAINT ck_event_seq CHECK ((run_id IS NULL) = (seq IS NULL)), \n\tCONSTRAINT fk_event_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE\n)\n\n",
    "CREATE INDEX ix_event_time ON event (time) WHERE run_id IS NULL",
    "CREATE UNIQUE INDEX uq_event_id ON event (id) WHERE run_id IS NULL",
    "CREATE UNIQUE INDEX uq_event_run ON event (run_id, seq) WHERE run_id IS NOT NULL",
    "\nCREATE TABLE item (\n\trun_id INTEGER NOT NULL, \n\tstage TEXT NOT NULL, \n\tidx BIGINT NOT NULL, \n\tstate TEXT NOT NULL, \n\tattempt INTEGER NOT NULL, \n\tlosses INTEGER NOT NULL, \n\tnext_at BIGINT, \n\terror BLOB, \n\tCONSTRAINT pk_item PRIMARY KEY (run_id, stage, idx), \n\tCONSTRAINT ck_item_state CHECK (state IN ('retrying', 'failed', 'finished')), \n\tCONSTRAINT fk_item_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE\n)\n\n",
    "\nCREATE TABLE metric (\n\trun_id INTEGER NOT NULL, \n\tstage TEXT NOT NULL, \n\tname TEXT NOT NULL, \n\tidx BIGINT NOT NULL, \n\tstep BIGINT NOT NULL, \n\tvalue FLOAT NOT NULL, \n\ttime FLOAT NOT NULL, \n\tCONSTRAINT pk_metric PRIMARY KEY (run_id, stage, name, idx, step), \n\tCONSTRAINT fk_metric_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE\n)\n\n",
    "\nCREATE TABLE resource_revision (\n\tkind TEXT NOT NULL, \n\tname TEXT NOT NULL, \n\trevision BIGINT NOT NULL, \n\tupdated_at BIGINT NOT NULL, \n\tannotations TEXT NOT NULL, \n\tdigest TEXT NOT NULL, \n\tCONSTRAINT pk_resource_revision PRIMARY KEY (kind, name, revision), \n\tCONSTRAINT fk_resource_revision_resource FOREIGN KEY(kind, name) REFERENCES resource (kind, name) ON DELETE CASCADE\n)\n\n",
    "\nCREATE TABLE stage (\n\trun_id INTEGER NOT NULL, \n\tposition INTEGER NOT NULL, \n\tname TEXT NOT NULL, \n\ttype TEXT NOT NULL, \n\tstate TEXT NOT NULL, \n\treason TEXT, \n\tattempt INTEGER NOT NULL, \n\tlosses INTEGER NOT NULL, \n\trecoveries INTEGER NOT NULL, \n\tnext_at BIGINT, \n\tstarted_at BIGINT, \n\tfinished_at BIGINT, \n\titems_total BIGINT, \n\titems_finished BIGINT NOT NULL, \n\titems_failed BIGINT NOT NULL, \n\tinherited BOOLEAN NOT NULL, \n\terror BLOB, \n\tresult BLOB, \n\tCONSTRAINT pk_stage PRIMARY KEY (run_id, position), \n\tCONSTRAINT ck_stage_state CHECK (state IN ('pending', 'running', 'retrying', 'finished', 'failed', 'cancelled', 'skipped')), \n\tCONSTRAINT ck_stage_counters CHECK (attempt >= 0 AND losses >= 0 AND recoveries >= 0), \n\tCONSTRAINT fk_stage_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE\n)\n\n",
    "\nCREATE TABLE task (\n\trun_id INTEGER NOT NULL, \n\tstage TEXT NOT NULL, \n\tstart BIGINT NOT NULL, \n\tattempt INTEGER NOT NULL, \n\tstop BIGINT NOT NULL, \n\tepoch BIGINT NOT NULL, \n\tstate TEXT NOT NULL, \n\tstarted_at BIGINT NOT NULL, \n\tfinished_at BIGINT NOT NULL, \n\treason TEXT, \n\tworker_pid BIGINT NOT NULL, \n\terror BLOB, \n\tvalue BLOB, \n\tCONSTRAINT pk_task PRIMARY KEY (run_id, stage, start, attempt, stop, epoch, state), \n\tCONSTRAINT ck_task_state CHECK (state IN ('finished', 'failed', 'lost', 'cancelled')), \n\tCONSTRAINT ck_task_range CHECK (start >= 0 AND stop >= start), \n\tCONSTRAINT fk_task_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE\n)\n\n",
)
