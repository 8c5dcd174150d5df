"""Hold the fixed statements about triggers: rule states, fires, deliveries, readers of the journal."""

from __future__ import annotations

from sqlalchemy import bindparam, case, delete, exists, func, insert, select, text, update

from flowdapt.stores.building import Statement, all_but, equals, insert_row, upsert, values_of
from flowdapt.stores.conditions import OPEN_RUN
from flowdapt.stores.trigger_rows import table

run, event, resource = table("run"), table("event"), table("resource")
consumer, rule_state = table("consumer"), table("rule_state")
fire, delivery = table("fire"), table("delivery")

OPEN = text(OPEN_RUN)
_open_run_of_rule = exists(
    select(run.c.id).where(run.c.trigger_rule == fire.c.rule, text(f"run.{OPEN_RUN}"))
)

# -- rules -----------------------------------------------------------------------------------------------

PUT_RULE_STATE = Statement(upsert(rule_state), *all_but(rule_state))
LIST_RULE_STATES = Statement(lambda _: select(rule_state))
# Locked where rows can be: whoever fires, pauses or begins a generation does it alone.
GET_RULE_STATE = Statement(lambda _: select(rule_state).where(equals("rule")).with_for_update())
RULE_REVISION = Statement(
    lambda _: select(resource.c.revision).where(
        text("kind = 'trigger_rule'"), resource.c.name == bindparam("name")
    )
)
OPEN_OF_RULE = Statement(
    lambda _: (
        select(run.c.uid).where(run.c.trigger_rule == bindparam("rule"), OPEN).order_by(run.c.id)
    )
)

# -- fires -----------------------------------------------------------------------------------------------

INSERT_FIRE = Statement(
    lambda _: (
        insert(fire).values({n: bindparam(n) for n in all_but(fire, "id")}).returning(fire.c.id)
    ),
    *all_but(fire, "id"),
)
_ENDING = ("state", "reason", "error", "runs")
END_FIRE = Statement(
    lambda _: update(fire).values(values_of(fire, *_ENDING)).where(equals("id")), *_ENDING, "is_id"
)
GET_FIRE = Statement(lambda _: select(fire).where(equals("id")).with_for_update())
FIRE_OF_SLOT = Statement(
    lambda _: select(fire).where(
        fire.c.rule == bindparam("rule"),
        fire.c.generation == bindparam("generation"),
        fire.c.scheduled_at == bindparam("at"),
    ),
    "rule",
    "generation",
    "at",
)
FIRE_OF_EVENT = Statement(
    lambda _: select(fire).where(
        fire.c.rule == bindparam("rule"), fire.c.event_id == bindparam("event")
    ),
    "rule",
    "event",
)
WAITING_OF_RULE = Statement(
    lambda _: select(fire.c.id).where(fire.c.rule == bindparam("rule"), text("state = 'waiting'"))
)
WAITING_FIRES = Statement(
    lambda _: (
        select(fire).where(text("fire.state = 'waiting'"), ~_open_run_of_rule).order_by(fire.c.id)
    )
)
RECENT_FIRES = Statement(
    lambda _: select(
        func.count(),
        func.coalesce(func.sum(case((fire.c.reason == "rate", 1), else_=0)), 0),
    ).where(
        text("kind = 'condition'"),
        fire.c.rule == bindparam("rule"),
        fire.c.fired_at > bindparam("since"),
    ),
    "rule",
    "since",
)
DELETE_OLD_FIRES = Statement(
    lambda _: delete(fire).where(
        fire.c.id.in_(
            select(fire.c.id)
            .where(fire.c.fired_at < bindparam("before"), text("state <> 'waiting'"))
            .order_by(fire.c.fired_at)
            .limit(bindparam("limit"))
        )
    )
)

# -- deliveries ------------------------------------------------------------------------------------------

INSERT_DELIVERY = Statement(insert_row(delivery, "id"), *all_but(delivery, "id"))
DUE_DELIVERIES = Statement(
    lambda _: (
        select(
            delivery.c.id, delivery.c.rule, delivery.c.fire_id, delivery.c.action,
            delivery.c.parameters, delivery.c.occasion, delivery.c.attempt,
        )
        .where(text("state = 'pending'"), delivery.c.next_at <= bindparam("now"))
        .order_by(delivery.c.next_at, delivery.c.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
    )
)  # fmt: skip
TAKE_DELIVERY = Statement(
    lambda _: (
        update(delivery)
        .values(attempt=delivery.c.attempt + 1, next_at=bindparam("until"))
        .where(equals("id"))
    ),
    "until",
    "is_id",
)
_TRIED = ("state", "next_at", "error")
END_DELIVERY = Statement(
    lambda _: update(delivery).values(values_of(delivery, *_TRIED)).where(equals("id")),
    *_TRIED,
    "is_id",
)

# -- readers of the journal ------------------------------------------------------------------------------

GET_CONSUMER = Statement(lambda _: select(consumer.c.cursor).where(equals("name")))
PUT_CONSUMER = Statement(upsert(consumer), *all_but(consumer))
NEWEST_CURSOR = Statement(lambda _: select(func.coalesce(func.max(event.c.cursor), 0)))
# Covered by ix_event_time: the first event without a run at or after an instant.
FIRST_SINCE = Statement(
    lambda _: (
        select(event.c.cursor)
        .where(text("run_id IS NULL"), event.c.time >= bindparam("since"))
        .order_by(event.c.time, event.c.cursor)
        .limit(1)
    )
)
OWN_EVENT = Statement(
    lambda _: select(event).where(text("run_id IS NULL"), event.c.id == bindparam("id"))
)
