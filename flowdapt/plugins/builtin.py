"""What comes with flowdapt, declared through the same hooks as a stranger's: strings, nothing imported."""

from __future__ import annotations

from flowdapt.plugins.hookspecs import hookimpl

__all__ = ["flowdapt_brokers", "flowdapt_executors"]


@hookimpl
def flowdapt_executors() -> dict[str, str]:
    return {
        "dask": "flowdapt.plugins.executors.dask.executor:DaskExecutor",
        "local": "flowdapt.plugins.executors.local.executor:LocalExecutor",
        "ray": "flowdapt.plugins.executors.ray.executor:RayExecutor",
    }


@hookimpl
def flowdapt_brokers() -> dict[str, str]:
    nats = "flowdapt.plugins.brokers.nats:NatsBroker"
    redis = "flowdapt.plugins.brokers.redis:RedisBroker"
    return {
        "inprocess": "flowdapt.plugins.brokers.inprocess:InProcessBroker",
        "nats": nats,
        "tls": nats,
        "redis": redis,
        "rediss": redis,
    }


@hookimpl
def flowdapt_actions() -> dict[str, str]:
    return {
        "log": "flowdapt.plugins.actions.log:LogAction",
        "webhook": "flowdapt.plugins.actions.webhook:Webhook",
    }
