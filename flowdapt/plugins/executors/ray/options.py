"""Decide what may be set for a Ray executor."""

from __future__ import annotations

import re

from pydantic import Field, model_validator

from flowdapt.domain.quantities import SizeBytes
from flowdapt.plugins.bridge.options import PORT_MAX, Amounts, ClusterOptions

__all__ = ["RayOptions"]

# Ray refuses a smaller store.
_STORE_MIN_BYTES = 75 * 1024 * 1024
_CLIENT = "ray://"
_PLACE = re.compile(r"([^/\s]+):(\d{1,5})")


class RayOptions(ClusterOptions):
    """The options of every cluster, and these.

    address       ray://HOST:PORT goes through a Ray client server; HOST:PORT or `auto` joins as a
                  driver, from a machine of the cluster.
    token_file    the token that the cluster asks for (RAY_AUTH_MODE=token).
    tls_ca, tls_cert, tls_key  files that prove the cluster to us and us to the cluster.
    gpus          GPUs of a cluster started here; none given: those that Ray finds.
    resources     what a cluster started here has besides, by the name that stages ask for.
    object_store  memory for results of a cluster started here, or of one that stands on this machine
                  alone; beyond it they go to Ray's store, and its disk.
    grows_to      what a cluster that scales by itself can have in all: tasks are given to it up to that.
    """

    token_file: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    gpus: int | None = Field(default=None, ge=0, le=1024)
    resources: Amounts = Field(default_factory=dict, max_length=32)
    object_store: SizeBytes = Field(default=512 * 1024 * 1024, ge=_STORE_MIN_BYTES)
    grows_to: Amounts = Field(default_factory=dict, max_length=32)

    @property
    def by_client(self) -> bool:
        """Say whether a client server stands between us and the cluster."""
        return self.address.startswith(_CLIENT)

    @property
    def place(self) -> tuple[str, int] | None:
        """Return host and port of the address; None when it names none."""
        found = _PLACE.fullmatch(self.address.removeprefix(_CLIENT))
        if found is None or int(found[2]) > PORT_MAX:
            return None
        return found[1].strip("[]"), int(found[2])

    def is_encrypted(self) -> bool:
        return bool(self.tls_cert)

    def is_authenticated(self) -> bool:
        return bool(self.tls_cert or self.token_file)

    @model_validator(mode="after")
    def _check_proofs(self) -> RayOptions:
        tls = (self.tls_ca, self.tls_cert, self.tls_key)
        if any(tls) and not all(tls):
            raise ValueError("TLS needs all of tls_ca, tls_cert and tls_key")
        if not self.address and (any(tls) or self.token_file):
            raise ValueError("a cluster started here makes its own token: leave these out")
        if not self.address and self.grows_to:
            raise ValueError(
                "a cluster started here has one node: raise maximum instead of grows_to"
            )
        if self.address and self.address != "auto" and self.place is None:
            raise ValueError(f"{self.address!r} is not ray://HOST:PORT, HOST:PORT or auto")
        return self
