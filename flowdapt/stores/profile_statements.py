"""Hold the fixed statements about executor profiles and the active executor."""

from __future__ import annotations

from sqlalchemy import delete, func, select, text

from flowdapt.stores.building import Statement, all_but, equals, insert_row, upsert
from flowdapt.stores.conditions import OPEN_RUN
from flowdapt.stores.profile_rows import table

run, profile, active = table("run"), table("executor_profile"), table("active_executor")

INSERT_PROFILE = Statement(insert_row(profile), *all_but(profile))
LIST_PROFILES = Statement(lambda _: select(profile).order_by(profile.c.name))
GET_PROFILE = Statement(lambda _: select(profile).where(equals("name")))
DELETE_PROFILE = Statement(lambda _: delete(profile).where(equals("name")))
GET_ACTIVE = Statement(lambda _: select(active.c.name, active.c.previous, active.c.revision))
PUT_ACTIVE = Statement(upsert(active), *all_but(active))
COUNT_PINNED = Statement(
    lambda _: select(run.c.executor, func.count()).where(text(OPEN_RUN)).group_by(run.c.executor)
)
