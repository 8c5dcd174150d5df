"""Decide which options all clusters have, and that an unsafe address is refused unless it is asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from flowdapt.domain.addresses import cluster_risks, without_slash
from flowdapt.domain.quantities import DurationS

__all__ = ["PORT_MAX", "Amounts", "ClusterOptions"]

PORT_MAX = 65_535

Amounts = dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


def _written(value: object) -> object:
    """Take what YAML and the command line make of true and false for what was meant."""
    return str(value).lower() if isinstance(value, bool) else value


class ClusterOptions(BaseModel):
    """A profile's options that every cluster understands.

    address            where the cluster is; none: one is started on this machine, for us alone.
    storage            an fsspec URL that daemon and workers see, for artifacts where files are not shared.
    insecure           use the address although whoever reaches it can run code there.
    connect_timeout    how long connecting may take.
    reconnect_timeout  how long a lost connection is waited for before tasks count as lost.
    start_timeout      how long a cluster started here may take until it takes tasks.
    shares_files       whether workers see this machine's files; `auto` has a worker try.
    minimum, maximum   workers of a cluster started here; it scales in between with its queue.
    idle_timeout       after this time without work a cluster started here goes back to its minimum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str, AfterValidator(without_slash)] = Field(default="", max_length=512)
    storage: str = Field(default="", max_length=512)
    insecure: bool = False
    connect_timeout: DurationS = 10.0
    reconnect_timeout: DurationS = 30.0
    start_timeout: DurationS = 180.0
    shares_files: Annotated[Literal["auto", "true", "false"], BeforeValidator(_written)] = "auto"
    minimum: int = Field(default=1, ge=0, le=10_000)
    maximum: int | None = Field(default=None, ge=1, le=10_000)
    idle_timeout: DurationS = 60.0

    def is_encrypted(self) -> bool:
        """Say whether what passes to the address cannot be read on the way."""
        return False

    def is_authenticated(self) -> bool:
        """Say whether the cluster lets in nobody without a proof."""
        return False

    def artifacts_url(self, url: str, *, shares_files: bool) -> str:
        """Return where artifacts lie for workers; empty: they have no place that the daemon sees too."""
        is_local = url.startswith(("/", "file:"))
        return url if shares_files or not is_local else self.storage

    @model_validator(mode="after")
    def _check(self) -> ClusterOptions:
        if self.maximum is not None and self.maximum < max(self.minimum, 1):
            raise ValueError(f"maximum ({self.maximum}) is below minimum ({self.minimum})")
        risks = cluster_risks(
            self.address,
            encrypted=self.is_encrypted(),
            authenticated=self.is_authenticated(),
        )
        if risks and not self.insecure:
            raise ValueError(
                f"{self.address} lacks {' and '.join(risks)}: whoever reaches it runs code there; "
                "give it these, or say insecure: true"
            )
        return self
