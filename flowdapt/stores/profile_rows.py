"""Decide the tables of executor profiles: columns and constraints. Private to the stores, as `rows` are."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Text
from sqlmodel import Field

from flowdapt.stores.tables import KEY, Row
from flowdapt.stores.trigger_rows import metadata, table  # whoever has these has all

__all__ = ["metadata", "table"]


class ProfileRow(Row, table=True):
    """A named configuration of an executor; never changed."""

    __tablename__ = "executor_profile"
    name: str = Field(primary_key=True, sa_type=KEY)
    kind: str = Field(sa_type=Text)
    options: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)


class ActiveExecutorRow(Row, table=True):
    """Where runs go that name no executor: one row, and none before the first switch."""

    __tablename__ = "active_executor"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)
    id: int = Field(primary_key=True)
    name: str = Field(sa_type=KEY)
    previous: str | None = Field(sa_type=KEY)
    revision: int = Field(sa_type=BigInteger)
