"""Servers on other machines need TLS and a login."""

from __future__ import annotations

import pytest

from flowdapt.domain.addresses import broker_risks, database_risks, is_local_host, without_slash


@pytest.mark.parametrize(
    "host",
    [
        "",
        "/var/run/postgresql",
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "[::1]",
    ],
)
def test_this_machine_is_local(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host",
    ["db.example.org", "10.0.0.5", "localhost.evil.org", "127.0.0.1.nip.io", "0.0.0.0", "fe80::1"],
)
def test_everything_else_is_not(host: str) -> None:
    assert not is_local_host(host)


@pytest.mark.parametrize(
    ("url", "missing"),
    [
        ("postgresql://u@/db", []),
        ("postgresql://u@localhost/db", []),
        ("postgresql://u@/db?host=/tmp/pg", []),
        ("postgresql://u:p@db.example.org/d?sslmode=verify-full", []),
        ("postgresql://u@db.example.org/d?sslmode=require&sslcert=c.pem", []),
        ("postgresql://u:p@db.example.org/d", ["TLS"]),
        ("postgresql://u:p@db.example.org/d?sslmode=prefer", ["TLS"]),
        ("postgresql://u@db.example.org/d?sslmode=require", ["password"]),
        ("postgresql://u@localhost/d?host=db.example.org", ["TLS", "password"]),
        ("postgresql://u@127.0.0.1,db.example.org/d", ["TLS", "password"]),
        ("postgresql://u@localhost/d?hostaddr=10.0.0.5", ["TLS", "password"]),
    ],
)
def test_what_is_missing_is_named(url: str, missing: list[str]) -> None:
    found = database_risks(url, {})
    assert len(found) == len(missing)
    assert all(word in text for word, text in zip(missing, found, strict=True))


def test_what_libpq_takes_from_the_environment_counts() -> None:
    assert database_risks("postgresql:///d", {"PGHOST": "db.example.org"})
    safe = {"PGHOST": "db.example.org", "PGSSLMODE": "verify-full", "PGPASSWORD": "x"}
    assert database_risks("postgresql:///d", safe) == []


@pytest.mark.parametrize(
    ("url", "missing"),
    [
        ("inprocess://", []),
        ("nats://127.0.0.1:4222", []),
        ("nats://[::1]:4222", []),
        ("redis://localhost/3", []),
        ("tls://user:word@nats.example.org", []),
        ("tls://token@nats.example.org", []),
        ("rediss://:word@redis.example.org:6380/0", []),
        ("nats://user:word@nats.example.org", ["TLS"]),
        ("redis://redis.example.org", ["TLS", "login"]),
        ("rediss://redis.example.org", ["login"]),
        ("rediss://:@redis.example.org", ["login"]),
        ("nats://127.0.0.1:4222,10.0.0.5:4222", ["TLS", "login"]),
        ("nats://10.0.0.5@127.0.0.1", []),
        ("nats://[2001:db8::1]:4222", ["TLS", "login"]),
    ],
)
def test_a_broker_elsewhere_needs_tls_and_a_login(url: str, missing: list[str]) -> None:
    found = broker_risks(url)
    assert [word for word in ("TLS", "login") if any(word in one for one in found)] == missing


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("tcp://host:1/", "tcp://host:1"),
        ("[::1]:8786/", "[::1]:8786"),
        ("tcp://host:1", "tcp://host:1"),
        ("tcp://host:1//", "tcp://host:1//"),
        ("grid://host:1/queue/", "grid://host:1/queue/"),
        ("grid://host/", "grid://host/"),
        ("dask://", "dask://"),
        ("", ""),
    ],
)
def test_only_a_slash_right_behind_host_and_port_is_left_out(address: str, same: str) -> None:
    assert without_slash(address) == same
