"""The database that store and end-to-end tests use is a real one, and is there on any machine."""

from __future__ import annotations

import psycopg


def test_a_postgresql_answers_on_a_fresh_machine(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SHOW server_version_num").fetchone()
    assert row is not None
    assert int(row[0]) >= 150000


def test_two_tests_get_two_databases(postgres_url: str, postgres_cluster: object) -> None:
    assert postgres_url != postgres_cluster.new_database()  # type: ignore[attr-defined]
