"""Decide what may be set for a Dask executor."""

from __future__ import annotations

import re

from pydantic import Field, model_validator

from flowdapt.plugins.bridge.options import PORT_MAX, Amounts, ClusterOptions

__all__ = ["DaskOptions"]

_PLACE = re.compile(r"(?:tcp|tls)://[^/\s]+:(\d{1,5})")


class DaskOptions(ClusterOptions):
    """The options of every cluster, and these.

    tls_ca, tls_cert, tls_key  files that prove the cluster to us and us to the cluster (tls://).
    gpus       GPUs of this machine, one for each of the first workers of a cluster started here.
    resources  what each worker of a cluster started here has besides, by the name that stages ask for.
    """

    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    gpus: int = Field(default=0, ge=0, le=1024)
    resources: Amounts = Field(default_factory=dict, max_length=32)

    @property
    def url(self) -> str:
        """The address as Dask writes it; empty for a cluster started here."""
        if not self.address:
            return ""
        scheme, _, place = self.address.rpartition("://")
        if scheme in ("", "dask"):
            scheme = "tls" if self.tls_cert else "tcp"
        return f"{scheme}://{place}"

    def is_encrypted(self) -> bool:
        return self.url.startswith("tls://")

    def is_authenticated(self) -> bool:
        return self.is_encrypted() and bool(self.tls_cert)

    @model_validator(mode="after")
    def _check_place(self) -> DaskOptions:
        found = _PLACE.fullmatch(self.url)
        if self.address and (found is None or int(found[1]) > PORT_MAX):
            raise ValueError(
                f"{self.address!r} is not HOST:PORT, dask://HOST:PORT, tcp://HOST:PORT or "
                "tls://HOST:PORT"
            )
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> DaskOptions:
        if self.is_encrypted() and not (self.tls_ca and self.tls_cert and self.tls_key):
            raise ValueError("tls:// needs tls_ca, tls_cert and tls_key")
        if not self.address and (self.tls_ca or self.tls_cert or self.tls_key):
            raise ValueError("a cluster started here makes its own certificates: leave tls_* out")
        return self
