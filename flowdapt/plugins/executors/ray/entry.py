"""Tell Ray's library by the environment how it is to behave, then import it: it reads that once, at import."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.plugins.bridge.engine import Engine, Report
    from flowdapt.plugins.executors.ray.options import RayOptions

__all__ = ["make_engine", "variables"]

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ROTATION_MAX_BYTES": str(4 * 1024 * 1024),
    "RAY_ROTATION_BACKUP_COUNT": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def make_engine(options: RayOptions, environment: WorkerEnvironment, report: Report) -> Engine:
    """Return the engine of a process that has not imported Ray yet."""
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.update(variables(options))
    from flowdapt.plugins.executors.ray.engine import RayEngine

    return RayEngine(options, environment, report)


def variables(options: RayOptions) -> Mapping[str, str]:
    """Return what Ray's library and all that it starts find in their environment."""
    if not options.address:
        return {
            **_QUIET,
            # So Ray is told on macOS that its servers stay on loopback; it holds for Linux as well.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            # Bodies count as much as those of the local executor do.
            "RAY_worker_niceness": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
    found = dict(_QUIET)
    if options.token_file:
        found |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": options.token_file}
    if options.tls_cert:
        found |= {
            "RAY_USE_TLS": "1",
            "RAY_TLS_CA_CERT": options.tls_ca,
            "RAY_TLS_SERVER_CERT": options.tls_cert,
            "RAY_TLS_SERVER_KEY": options.tls_key,
        }
    return found
