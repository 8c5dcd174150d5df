"""Who owns a data directory: one process, by the kernel's word, whatever the file says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.errors import AlreadyRunning, StartRefused
from flowdapt.services.instance import InstanceLock, read_holder
from flowdapt.services.notify import notify
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


def test_a_held_lock_names_its_holder(flowdapt_home: Path) -> None:
    path = flowdapt_home / "lock"
    lock = InstanceLock(path)
    lock.describe(socket="/s")
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as caught:
        InstanceLock(path)
    assert caught.value.details == {"pid": os.getpid(), "socket": "/s"}
    lock.release()
    InstanceLock(path).release()


def test_a_lock_ends_with_its_process(flowdapt_home: Path) -> None:
    path = flowdapt_home / "lock"
    code = (
        "import sys, pathlib, os; from flowdapt.services.instance import InstanceLock;"
        "InstanceLock(pathlib.Path(sys.argv[1])).describe(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert isinstance(read_holder(path)["pid"], int)
    InstanceLock(path).release()


def test_a_child_does_not_inherit_the_lock(flowdapt_home: Path) -> None:
    path = flowdapt_home / "lock"
    lock = InstanceLock(path)
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
    )
    lock.release()
    # The kernel closes the child's copies one after the other, some after Popen has returned.
    eventually(lambda: _free(path), what="the lock is free")
    child.communicate(b"\n", timeout=60)


def _free(path: Path) -> bool:
    try:
        InstanceLock(path).release()
    except AlreadyRunning:
        return False
    return True


@pytest.mark.parametrize("text", ["", "garbage", "[]", json.dumps({"pid": "x"}), "{" * 5000])
def test_what_the_file_says_does_not_matter(flowdapt_home: Path, text: str) -> None:
    path = flowdapt_home / "lock"
    path.write_text(text)
    lock = InstanceLock(path)
    path.write_text(text)
    with pytest.raises(AlreadyRunning):
        InstanceLock(path)
    lock.release()


def test_a_link_or_directory_in_its_place_is_refused(flowdapt_home: Path) -> None:
    (flowdapt_home / "target").touch()
    (flowdapt_home / "link").symlink_to(flowdapt_home / "target")
    (flowdapt_home / "directory").mkdir()
    for name in ("link", "directory"):
        with pytest.raises(StartRefused):
            InstanceLock(flowdapt_home / name)


def test_nobody_is_told_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    assert not notify("READY=1")


@pytest.mark.parametrize("abstract", [True, False])
def test_the_service_manager_is_told(
    flowdapt_home: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = f"@flowdapt-{os.getpid()}" if abstract else str(flowdapt_home / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert notify("READY=1", "STATUS=x")
        assert manager.recv(100) == b"READY=1\nSTATUS=x"
