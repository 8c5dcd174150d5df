"""What was compiled ahead is what the sources say, and lists are the same on every database."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, select

from flowdapt.stores import prepared
from flowdapt.stores.asking import Question
from flowdapt.stores.building import Statement
from flowdapt.stores.dialects import POSTGRESQL, SQLITE
from flowdapt.stores.named import Sql
from flowdapt.stores.prepare import PREPARED, module_text
from flowdapt.stores.sources import every_statement
from flowdapt.stores.trigger_rows import table


def test_what_is_committed_is_what_would_be_prepared_now() -> None:
    assert PREPARED.read_text(encoding="utf-8") == module_text(), (
        "run: python -m flowdapt.stores.prepare"
    )


def test_every_statement_is_prepared_under_its_own_name() -> None:
    handles = {name: one for name, one in vars(prepared).items() if isinstance(one, Sql)}
    assert {name: one.name for name, one in handles.items()} == {n: n for n in every_statement()}


def test_another_database_has_its_text_from_the_source() -> None:
    assert prepared.LOCK_QUEUED.text(SQLITE).endswith("state = 'queued'")
    text = prepared.LOCK_QUEUED.text(POSTGRESQL)
    assert text == every_statement()["LOCK_QUEUED"].text(POSTGRESQL)
    assert text.endswith("FOR UPDATE SKIP LOCKED")


def test_parameters_in_another_order_than_told_are_found_when_compiled() -> None:
    run = table("run")
    wrong = Statement(lambda _: select(run.c.id).where(run.c.uid == bindparam("uid")), "name")
    with pytest.raises(AssertionError):
        wrong.text(SQLITE)


def test_a_question_keeps_its_values_out_of_the_text() -> None:
    question = Question("run.id", "run")
    question.where("run.name = ?", "it's ? %s")
    question.either("run.state = ?", ["failed", "finished"])
    question.either("run.source = ?", [])
    text = "SELECT run.id FROM run WHERE run.name = ? AND (run.state = ? OR run.state = ?)"
    values = ("it's ? %s", "failed", "finished", 5)
    assert question.written(SQLITE, "run.id", 5) == (f"{text} ORDER BY run.id LIMIT ?", values)
    marked = f"{text} ORDER BY run.id LIMIT ?".replace("?", "%s")
    assert question.written(POSTGRESQL, "run.id", 5) == (marked, values)
