"""Keep the frozen texts of runs once: by digest in the database, the recent ones in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from flowdapt.domain.resource import digest_of
from flowdapt.stores import prepared as sql
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.links import Tx

__all__ = ["Texts"]

_KEPT_BYTES = 8 * 1024 * 1024
_KNOWN_MAX = 4096
_HASHED_MAX = 64


class Texts:
    """Texts by digest. `put` belongs to the writer alone, `get` to any thread."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._digests: OrderedDict[str, str] = OrderedDict()
        self._bodies: OrderedDict[str, str] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, tx: Tx, body: str) -> str:
        """Store a text unless it is known to be there; return its digest."""
        digest = self._digest(body)
        if digest not in self._known:
            tx.run(sql.PUT_DOCUMENT, (digest, body, tx.now()))
            # Other daemons may sweep a shared database: only our own file is known for sure.
            if tx.name == SQLITE:
                tx.after.append(lambda: self._learn(digest))
        return digest

    def get(self, tx: Tx, digest: str) -> str:
        """Return a stored text; empty when it is gone, which `check` reports."""
        with self._lock:
            body = self._bodies.get(digest)
            if body is not None:
                self._bodies.move_to_end(digest)
                return body
        row = tx.one(sql.GET_DOCUMENT, (digest,))
        if row is None:
            return ""
        self._keep(digest, row[0])
        return str(row[0])

    def forget(self) -> None:
        """Trust no digest any more: documents were swept."""
        self._known.clear()

    def _learn(self, digest: str) -> None:
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known.add(digest)

    def _digest(self, body: str) -> str:
        """Hash a text once while it is in use: the same definition comes with every submission."""
        digest = self._digests.get(body)
        if digest is None:
            digest = self._digests[body] = digest_of(body)
            if len(self._digests) > _HASHED_MAX:
                self._digests.popitem(last=False)
        return digest

    def _keep(self, digest: str, body: str) -> None:
        with self._lock:
            if digest not in self._bodies:
                self._bodies[digest] = body
                self._bytes += len(body)
            while self._bytes > _KEPT_BYTES and len(self._bodies) > 1:
                self._bytes -= len(self._bodies.popitem(last=False)[1])
