"""Name the databases whose words differ."""

from __future__ import annotations

__all__ = ["POSTGRESQL", "SQLITE"]

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
