"""Decide whether a server's address is safe to use: on this machine, or with TLS and a login."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["broker_risks", "cluster_risks", "database_risks", "is_local_host", "without_slash"]

_TLS_SCHEMES = frozenset({"tls", "rediss"})
_HOST_AND_PORT = re.compile(r"((?:\w+://)?[^/\s]+:\d+)/")
_TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})


def is_local_host(host: str) -> bool:
    """Say whether a host is this machine: a socket's path, localhost, or a loopback address."""
    if not host or host.startswith("/") or host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def broker_risks(url: str) -> list[str]:
    """Return in words what is missing for a broker on another machine; empty when nothing is.

    The URL may name several servers, separated by commas.
    """
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    if all(is_local_host(_host_of(place)) for place in places.split(",")):
        return []
    risks = []
    if parts.scheme not in _TLS_SCHEMES:
        risks.append("TLS (tls:// or rediss://)")
    if not login.strip(":"):
        risks.append("a login")
    return risks


def cluster_risks(address: str, *, encrypted: bool, authenticated: bool) -> list[str]:
    """Return in words what is missing for a cluster on another machine; empty when nothing is.

    Whoever reaches a cluster's port runs code there. An empty address is a cluster started here.
    """
    place = address.partition("://")[2] or address
    if is_local_host(_host_of(place.partition("/")[0].rpartition("@")[2])):
        return []
    risks = [] if encrypted else ["TLS"]
    return risks if authenticated else [*risks, "a proof of who connects"]


def _host_of(place: str) -> str:
    if place.startswith("["):
        return place.partition("]")[0].strip("[")
    return place.partition(":")[0]


def without_slash(address: str) -> str:
    """Return an address without the slash that browsers and people write behind host and port."""
    found = _HOST_AND_PORT.fullmatch(address)
    return found[1] if found else address


def database_risks(url: str, environ: Mapping[str, str]) -> list[str]:
    """Return in words what is missing for a PostgreSQL on another machine; empty when nothing is.

    `environ` is asked for what libpq would take from it (PGHOST, PGSSLMODE, PGPASSWORD, …).
    """
    parts = urlsplit(url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    listed = asked.get("host") or parts.hostname or environ.get("PGHOST", "")
    hosts = [unquote(host) for host in listed.split(",")]
    if asked.get("hostaddr"):
        hosts += asked["hostaddr"].split(",")
    if all(map(is_local_host, hosts)):
        return []
    risks = []
    mode = asked.get("sslmode") or environ.get("PGSSLMODE", "prefer")
    if mode not in _TLS_MODES:
        risks.append("TLS (sslmode=verify-full)")
    certified = asked.get("sslcert") or environ.get("PGSSLCERT")
    known = parts.password or asked.get("password") or asked.get("passfile")
    if not (known or certified or environ.get("PGPASSWORD") or environ.get("PGPASSFILE")):
        risks.append("a password or a client certificate")
    return risks
