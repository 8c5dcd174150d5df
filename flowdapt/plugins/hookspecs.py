"""The whole plugin surface: each hook declares things by import string and imports nothing itself.

A plugin is an installed distribution with an entry point in the group `flowdapt.plugins` that names a
module. The module marks its functions with `flowdapt.plugins.hookimpl`; it is imported when the
daemon starts, so it should import nothing heavy. Stages need no hook: workers import a stage's target.

An import string is `package.module:name`. What it names is imported when it is first used: executors,
brokers and actions in the daemon, formats and extensions in every worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pluggy

__all__ = ["ENTRY_POINT_GROUP", "PROJECT", "hookimpl", "hookspec"]

PROJECT = "flowdapt"
ENTRY_POINT_GROUP = "flowdapt.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def flowdapt_executors() -> Mapping[str, str]:
    """Declare executors: kind -> import string of a `flowdapt.ports.executor.Executor` subclass.

    The kind is what `flowdapt executor add NAME KIND` and `flowdapt use` take. A kind that is taken
    already is refused and the plugin shown as broken. `flowdapt.testing.ExecutorContract` tests one.
    """
    return {}


@hookspec
def flowdapt_brokers() -> Mapping[str, str]:
    """Declare brokers: kind -> import string of a `flowdapt.ports.broker.Broker` subclass.

    The kind is the scheme of the setting `broker.url`; the class is called with that URL and with
    `prefix=`, the setting `broker.prefix`. `flowdapt.testing.BrokerContract` tests one.
    """
    return {}


@hookspec
def flowdapt_actions() -> Mapping[str, str]:
    """Declare actions: name -> import string of a `flowdapt.ports.action.Action` subclass.

    The name is what trigger rules write as `target:`, and the class's own `name`. It is imported when the
    first rule is applied, and made without arguments when it is first to act. `run_workflow` and
    `publish_event` are taken.
    """
    return {}


@hookspec
def flowdapt_formats() -> Mapping[str, str]:
    """Declare artifact formats: name -> import string of a `flowdapt.runtime.formats.Format` subclass.

    The name is what `artifacts.put(…, format=NAME)` takes, and the class's own `name`. Formats of
    plugins are asked before the built-in ones whether they accept a value.
    """
    return {}


@hookspec
def flowdapt_worker_extensions() -> Sequence[str]:
    """Declare what every worker does once when it starts: import strings of callables without arguments.

    For instance `flowdapt.runtime.memory.use_memory`, called with another cluster memory. One that
    raises is told on the worker's stderr and left out.
    """
    return ()
