"""Decide how Ray is started on this machine, or reached elsewhere, in the one process that may do so.

What is started here listens on loopback only, asks for a token made for this one time, and keeps its
files in a folder of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ray

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.plugins.executors.ray import versions
from flowdapt.plugins.executors.ray.remote import NAMESPACE
from flowdapt.runtime.descendants import find_tree
from flowdapt.runtime.own_folder import OwnFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowdapt.plugins.executors.ray.options import RayOptions

__all__ = ["Session", "in_thread"]

_Made = TypeVar("_Made")

_PREFIX = "flowdapt-ray-"
_HEAD = ("gcs_server", "raylet")
# Ray puts sockets sixty characters deeper, and the kernel takes 107.
_FOLDER_MAX_CHARS = 40
_SHUTDOWN_S = 8.0
_GONE_S = 1.5


class Session:
    """One connection to a cluster, and the cluster when it is ours."""

    def __init__(self, options: RayOptions, lose: Callable[[str], None]) -> None:
        self._options = options
        self._lose = lose
        self._folder: OwnFolder | None = None
        self._misfit = ""
        self._failure = ""
        self._refused = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.minimum = max(options.minimum, 1)
        self.maximum = options.maximum or max(_cpus(), self.minimum)

    @property
    def is_ours(self) -> bool:
        """Say whether the cluster was started here."""
        return not self._options.address

    async def open(self) -> None:
        """Start or reach the cluster; raise ExecutorUnavailable."""
        options = self._options
        logging.getLogger("ray").setLevel(logging.ERROR)
        if self.is_ours:
            await self._bounded(self._start, options.start_timeout)
            self._watch()
            return
        await self._reach()
        await self._bounded(self._connect, options.connect_timeout)

    async def close(self, *, gone: bool) -> None:
        """Let go of the cluster; end it when it is ours. Never raises.

        Of a cluster that is gone nobody takes leave for long.
        """
        with suppress(Exception):
            await asyncio.wait_for(in_thread(ray.shutdown), _GONE_S if gone else _SHUTDOWN_S)
        if self._folder is not None:
            self._folder.remove()

    async def _bounded(self, work: Callable[[], None], seconds: float) -> None:
        doing = asyncio.ensure_future(in_thread(work, stays=True))
        refused = asyncio.ensure_future(self._refused.wait())
        await asyncio.wait([doing, refused], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        refused.cancel()
        if not doing.done():
            doing.cancel()
            raise self._unreachable(f"it is silent for {seconds:g} s")
        error = doing.exception()
        if isinstance(error, ExecutorUnavailable):
            raise error
        if error is not None:
            raise self._unreachable(_first_line(error)) from error

    def _unreachable(self, words: str) -> ExecutorUnavailable:
        if self.is_ours:
            return ExecutorUnavailable(
                f"Ray cannot be started on this machine: {words}",
                fix="raise start_timeout, or look for what slows this machine down",
            )
        if self._misfit:
            return ExecutorUnavailable(
                f"the Ray cluster at {self._options.address} and this machine do not fit:"
                f" {self._misfit}",
                fix="use the same version of Ray and of Python on both sides",
            )
        return ExecutorUnavailable(
            f"no Ray cluster can be had at {self._options.address}: {self._failure or words}",
            fix="start it, or correct the profile's address, token, certificates or connect_timeout",
        )

    # -- a cluster of ours ---------------------------------------------------------------------------

    def _start(self) -> None:
        options = self._options
        self._folder = OwnFolder(_PREFIX, _short_place())
        ray.init(
            address="local",
            num_cpus=self.maximum,
            num_gpus=options.gpus,
            resources=dict(options.resources),
            object_store_memory=options.object_store,
            include_dashboard=False,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
            # Ray opens its own folder to everybody; this one stands in a private one.
            _temp_dir=f"{self._folder.path}/r",
            _system_config={
                "idle_worker_killing_time_threshold_ms": int(options.idle_timeout * 1000),
                "num_workers_soft_limit": self.minimum,
            },
        )

    def _watch(self) -> None:
        """Tell at once when the head dies: Ray itself would wait for it to come back."""
        if not hasattr(os, "pidfd_open"):
            return
        loop = asyncio.get_running_loop()
        for name, pid in _processes().items():
            if name in _HEAD:
                with suppress(ProcessLookupError):
                    descriptor = os.pidfd_open(pid)
                    loop.add_reader(descriptor, self._head_died, name, descriptor)

    def _head_died(self, name: str, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._lose(f"{name} of the Ray cluster on this machine is gone")

    # -- a cluster of somebody else ------------------------------------------------------------------

    async def _reach(self) -> None:
        """Knock first: Ray itself tries for long before it says that nobody is there."""
        if self._options.place is None:
            return
        host, port = self._options.place
        try:
            connecting = asyncio.open_connection(host, port, family=socket.AF_UNSPEC)
            _, writer = await asyncio.wait_for(connecting, self._options.connect_timeout)
        except (OSError, TimeoutError) as error:
            raise self._unreachable(str(error) or "it is silent") from None
        writer.close()

    def _refuse(self, words: str, *, misfit: bool = True) -> None:
        """Note in some thread why connecting fails: Ray may hang before it says it."""
        if misfit:
            self._misfit = words
        else:
            self._failure = words
        self._loop.call_soon_threadsafe(self._refused.set)

    def _connect(self) -> None:
        options: dict[str, Any] = {}
        if self._options.by_client:
            versions.note_refusal(self._refuse)
        else:
            options = {"configure_logging": False}
            versions.compare_with_head(self._options.place, self._refuse)
        ray.init(
            address=self._options.address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **options,
        )


async def in_thread(work: Callable[[], _Made], *, stays: bool = False) -> _Made:
    """Do it in a thread of its own, for Ray may hang: nobody waits for such a thread at the end.

    `stays`: the thread lives as long as the process, and so does what it started.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Made] = loop.create_future()

    def tell(made: _Made | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(made)  # type: ignore[arg-type]  # there was no error
        else:
            done.set_exception(error)

    def run() -> None:
        made: _Made | None = None
        error: BaseException | None = None
        try:
            made = work()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(tell, made, error)
        if stays:
            threading.Event().wait()

    threading.Thread(target=run, name="flowdapt-ray", daemon=True).start()
    return await done


def _processes() -> dict[str, int]:
    """Return the children of this process by their names."""
    found = {}
    for pid in find_tree(os.getpid(), with_root=False):
        with suppress(OSError):
            found[Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()] = pid
    return found


def _short_place() -> str:
    """Return where temporary files go, unless that is too far down for Ray's sockets."""
    place = tempfile.gettempdir()
    return place if len(place) <= _FOLDER_MAX_CHARS else "/tmp"  # noqa: S108  (a private folder is made in it)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
