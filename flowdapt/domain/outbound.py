"""Decide where a webhook may go: how its URL is written, and which addresses are open to it.

A name is judged by every address it leads to, at the moment of the call; who resolves and connects
is told to use the addresses that were judged and no others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

__all__ = ["Address", "Allowed", "WebTarget", "is_public", "read_url"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAX_CHARS = 2048
_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535
_MAX_NAME = 253
_WRITTEN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://)?(?P<rest>.*)", re.DOTALL)
_PLAIN = re.compile(r"[!$-;=?-Z\[\]_a-z~]*")
_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# What resolvers take for a number, and so for an address in disguise.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Global by the registries, and yet a way to somewhere else: addresses that carry an IPv4 address, relays,
# site-local ones, and public addresses at which clouds answer their own machines.
_DETOURS: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24",
        "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96",
        "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WebTarget:
    """A URL that was understood. `host` is in lower case and without brackets; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Return what the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> Address | None:
        """Return the address where the host is one."""
        return _address_or_none(self.host)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be called beside the public internet: networks, and hosts by their exact name."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Allowed:
        """Read addresses, CIDRs and host names. Raise ValueError naming what is none of these."""
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                hosts.add(_allowed_name(entry))
        return cls(tuple(networks), frozenset(hosts))

    def takes(self, host: str, address: Address) -> bool:
        """Say whether this host may be called at this address."""
        return is_public(address) or host in self.hosts or self._holds(address)

    def refusal(self, host: str, addresses: Sequence[Address]) -> str | None:
        """Return why a host must not be called, None when all its addresses are open."""
        closed = [address for address in addresses if not self.takes(host, address)]
        if not closed:
            return None
        leads = f"{host} leads to {closed[0]}, which" if str(closed[0]) != host else host
        return f"{leads} is no public address; allow it with the setting webhooks.allowed"

    def early_refusal(self, target: WebTarget) -> str | None:
        """Return what is known to be closed without asking anybody."""
        if target.address is not None:
            return self.refusal(target.host, [target.address])
        if target.host == "localhost" or target.host.endswith(".localhost"):
            return self.refusal(target.host, [IPv4Address("127.0.0.1")])
        return None

    def _holds(self, address: Address) -> bool:
        inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(one in net for net in self.networks for one in (address, inner) if one)


def is_public(address: Address) -> bool:
    """Say whether anybody on the internet may have this address."""
    closed = address.is_multicast or address.is_reserved or not address.is_global
    return not closed and not any(address in net for net in _DETOURS)


def read_url(url: str) -> WebTarget:
    """Return the parts of a URL. Raise ValueError, in words, for all that could be read in two ways."""
    if len(url) > _MAX_CHARS:
        raise ValueError(f"a URL has at most {_MAX_CHARS} characters")
    written = _WRITTEN.fullmatch(url)
    scheme = written["scheme"].lower() if written else ""
    if written is None or scheme not in _PORTS or not url[len(scheme) :].startswith("://"):
        raise ValueError("a URL begins with https:// or http://")
    rest = written["rest"]
    if not _PLAIN.fullmatch(rest):
        raise ValueError("spaces, line ends, # \\ { } and letters beyond ASCII are percent-encoded")
    end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
    host, port = _host_and_port(rest[:end], scheme)
    path = rest[end:]
    return WebTarget(scheme, host, port, path if path.startswith("/") else f"/{path}")


def _host_and_port(place: str, scheme: str) -> tuple[str, int]:
    if "@" in place:
        raise ValueError("a URL here holds no login")
    found = _PLACE.fullmatch(place)
    if found is None:
        raise ValueError("the host of the URL cannot be read")
    port = int(found["port"] or _PORTS[scheme])
    if not 0 < port <= _MAX_PORT:
        raise ValueError(f"there is no port {port}")
    return _host(found["host"].lower()), port


def _host(written: str) -> str:
    if written.startswith("["):
        address = _address_or_none(written[1:-1])
        if not isinstance(address, IPv6Address) or address.scope_id:
            raise ValueError(f"{written} is no IPv6 address")
        return str(address)
    return written if _address_or_none(written) else _name(written)


def _name(written: str) -> str:
    labels = written.split(".")
    if not labels[-1] and any(labels):
        raise ValueError("a host is written without a final dot")
    if len(written) > _MAX_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("the URL has no host that could be a name")
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError(f"{written} is a number: an address is four decimal numbers 0-255")
    return written


def _address_or_none(written: str) -> Address | None:
    try:
        return ip_address(written)
    except ValueError:
        return None


def _allowed_name(entry: str) -> str:
    try:
        return _name(entry.lower())
    except ValueError:
        raise ValueError(f"{entry!r} is no address, no network (10.0.0.0/8) and no name") from None
