"""Decide what an event is: a stored, numbered, past-tense fact in CloudEvents 1.0 words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["WORKFLOW_FINISHED", "WORKFLOW_STARTED", "Event", "EventDraft"]

# The earlier flowdapt's types: rules of its users match them.
WORKFLOW_STARTED = "com.event.workflow.workflow_started"
WORKFLOW_FINISHED = "com.event.workflow.workflow_finished"
WORKFLOW_QUEUED = "com.event.workflow.workflow_queued"
WORKFLOW_CANCELLING = "com.event.workflow.workflow_cancelling"
WORKFLOW_DELETED = "com.event.workflow.workflow_deleted"
STAGE_FINISHED = "com.event.workflow.stage_finished"
STAGE_RETRYING = "com.event.workflow.stage_retrying"
STAGE_LOST = "com.event.workflow.stage_lost"
RESOURCE_APPLIED = "com.event.resource.applied"
RESOURCE_DELETED = "com.event.resource.deleted"
TRIGGER_FIRED = "com.event.trigger.fired"
TRIGGER_SKIPPED = "com.event.trigger.skipped"
TRIGGER_MISSED = "com.event.trigger.missed"
TRIGGER_WAITING = "com.event.trigger.waiting"
TRIGGER_FAILED = "com.event.trigger.failed"
TRIGGER_PAUSED = "com.event.trigger.paused"
TRIGGER_RESUMED = "com.event.trigger.resumed"
DELIVERY_FAILED = "com.event.trigger.delivery_failed"
EXECUTOR_STARTED = "com.event.executor.started"
EXECUTOR_STOPPED = "com.event.executor.stopped"
EXECUTOR_UNAVAILABLE = "com.event.executor.unavailable"
EXECUTOR_AVAILABLE = "com.event.executor.available"
EXECUTOR_SCALED = "com.event.executor.scaled"
EXECUTOR_SWITCHED = "com.event.executor.switched"
EXECUTOR_ADDED = "com.event.executor.added"
EXECUTOR_REMOVED = "com.event.executor.removed"
DAEMON_STARTED = "com.event.system.daemon_started"
DAEMON_STOPPED = "com.event.system.daemon_stopped"
DRAIN_BEGAN = "com.event.system.drain_began"
DRAIN_ENDED = "com.event.system.drain_ended"
BROKER_LOST = "com.event.system.broker_lost"
BROKER_CONNECTED = "com.event.system.broker_connected"
DISK_LOW = "com.event.system.disk_low"
DISK_RECOVERED = "com.event.system.disk_recovered"
CLOCK_JUMPED = "com.event.system.clock_jumped"


class Event(BaseModel):
    """One journal row. `cursor` follows commit order, `seq` counts within one run from 1."""

    model_config = ConfigDict(frozen=True)

    cursor: int
    id: str
    time: datetime
    type: str
    source: str
    subject: str
    run: str | None = None
    seq: int | None = None
    correlation_id: str | None = None
    causation_depth: int = 0
    data: Any = None


@dataclass(frozen=True, slots=True)
class EventDraft:
    """A past-tense fact to be written with the change that it tells of; the store numbers it.

    `data` is JSON text of at most 64 KiB.
    """

    type: str
    subject: str
    data: str
    source: str = "flowdapt"
    correlation_id: str | None = None
    causation_depth: int = 0
    # Given by whoever sent it; else the store makes one.
    id: str | None = None
