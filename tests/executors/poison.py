"""Stages that misbehave: run in workers only, found there through `python_path`."""

# ruff: noqa: T201, PTH109, PTH208  (they print, and look at things as stage code does)

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flowdapt import get_run_context

PAGE = 1024 * 1024


def pid() -> int:
    return os.getpid()


def wait(gate: str) -> str:
    while not Path(gate).exists():
        time.sleep(0.005)
    return "done"


def segfault() -> None:
    ctypes.string_at(0)


def eat(size: int) -> int:
    return len(bytearray(size))


def eat_and_count(size: int) -> str:
    try:
        bytearray(size)
    except MemoryError:
        return "refused"
    return "had"


# --- output ---------------------------------------------------------------------------------------


def write_gibibyte(through: str) -> str:
    block = b"x" * 99 + b"\n"
    chunk = block * (PAGE // len(block))
    write = sys.stdout.buffer.write if through == "python" else lambda data: os.write(1, data)
    left = 1024 * PAGE
    os.write(1, b"the first line\n") if through == "fd" else print("the first line")
    while left > 0:
        left -= write(chunk)
    os.write(1, b"the last line\n") if through == "fd" else print("the last line")
    return "done"


def short_lines(count: int) -> None:
    os.write(1, b"y\n" * count)


def long_line(through: str) -> None:
    line = b"a" * 1000 + b"b" * (10 * PAGE) + b"c" * 1000 + b"\n"
    if through == "fd":
        view = memoryview(line)
        while view:
            view = view[os.write(1, view) :]
    else:
        sys.stdout.buffer.write(line)


def odd_bytes() -> None:
    os.write(1, b"nul \0 bad \xff\xfe esc \x1b]52;c;x\x07\n")
    sys.stdout.buffer.write(b"nul \0 bad \xff\xfe esc \x1b]52;c;x\x07\n")


def printf() -> None:
    """Print from C, whose buffer is not written by itself: the descriptor is a pipe."""
    libc = ctypes.CDLL(None)
    libc.printf(b"from C\n")


def no_newline() -> None:
    sys.stdout.write("no end")
    os.write(2, b"no end either")


def from_child() -> None:
    subprocess.run(["/bin/sh", "-c", "echo from the child; echo and its error >&2"], check=True)


def log_levels() -> None:
    logging.getLogger("mine").info("informed")
    logging.getLogger("mine").error("alarmed")
    logging.getLogger("mine").debug("too fine")


def print_item(item: int) -> int:
    print(f"item {item}")
    return item


def print_secret_in_pieces(secret: str) -> None:
    half = len(secret) // 2
    os.write(1, b"fd: " + secret[:half].encode())
    time.sleep(0.05)
    os.write(1, secret[half:].encode() + b"\n")
    sys.stdout.write("py: " + secret[:half])
    sys.stdout.write(secret[half:] + "\n")


def print_encoded() -> None:
    import base64

    secret = os.environ["API_KEY"]
    print(base64.b64encode(b"user:" + secret.encode()).decode())
    logging.getLogger().warning("%s", base64.b64encode(secret.encode()).decode())


def huge_log_record() -> None:
    logging.getLogger().warning("w" * (20 * PAGE))


# --- children -------------------------------------------------------------------------------------


def leave_child(witness: str) -> None:
    child = subprocess.Popen(["sleep", "600"])
    Path(witness).write_text(str(child.pid), encoding="utf-8")


def leave_daemon(witness: str, how: str = "") -> None:
    """Fork twice, leave the session, drop the environment, keep the pipe open."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(witness).write_text(str(os.getpid()), encoding="utf-8")
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()
    while not Path(witness).exists():
        time.sleep(0.002)
    if how == "hang":
        while True:
            time.sleep(1)


def leave_marked_daemon_and_crash(witness: str) -> None:
    """The same with its environment kept, and then the worker itself is gone."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(witness).write_text(str(os.getpid()), encoding="utf-8")
            os.execv("/bin/sleep", ["sleep", "600"])
        os._exit(0)
    os.wait()
    while not Path(witness).exists():
        time.sleep(0.002)
    os._exit(7)


def hold_socket_and_die() -> None:
    """Die while a child holds a copy of every descriptor."""
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    os._exit(7)


def fork_and_return() -> int:
    return os.fork()


def _talk(number: int) -> int:
    print(f"printed by {number}")
    logging.getLogger().warning("logged by %s", number)
    return number * 2


def pool_of_forks() -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(_talk, range(4))


def finished_child() -> str:
    child = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return "left a zombie"


def leave_thread() -> str:
    threading.Thread(target=time.sleep, args=(600,), name="stays").start()
    return "left a thread"


# --- the result socket ----------------------------------------------------------------------------


def _channel() -> socket.socket:
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            is_socket = stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError:
            continue
        if is_socket:
            found = socket.socket(fileno=os.dup(number))
            if found.type == socket.SOCK_SEQPACKET:
                return found
    raise LookupError("no result socket")


def junk(kind: str) -> None:
    header = struct.Struct("<2sHI")
    said: bytes = {
        "text": b"hello, world",
        "short": b"f",
        "empty body": header.pack(b"fd", 0, 1),
        "truncated": header.pack(b"fd", 0, 1) + b"\x93\x01",
        "wrong type": header.pack(b"fd", 0, 1) + b"\x81\xa1a\x01",
        "unfinished": header.pack(b"fd", 1, 1) + b"\x91",
        "unknown tag": header.pack(b"fd", 0, 1) + b"\x91\x81\xa4type\xa3own",
    }[kind]
    channel = _channel()
    # The number of the task is a small one: be right at one of them.
    for number in range(1, 6):
        packet = said[:4] + struct.pack("<I", number) + said[8:] if said[:2] == b"fd" else said
        channel.send(packet)
    time.sleep(600)


def flood() -> None:
    """Send parts of a message that never ends."""
    channel = _channel()
    packet = struct.pack("<2sHI", b"fd", 1, 1) + b"x" * 100_000
    while True:
        channel.send(packet)


def close_everything() -> None:
    os.closerange(3, 200)
    time.sleep(600)


# --- the state of the process ---------------------------------------------------------------------


def disturb(folder: str) -> None:
    os.chdir(folder)
    os.environ["DISTURBED"] = "yes"
    os.environ.pop("HOME", None)
    os.umask(0o777)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(9))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    logging.disable(logging.CRITICAL)
    logging.getLogger().handlers.clear()
    sys.path.insert(0, folder)
    sys.setrecursionlimit(200)
    sys.stdout = sys.stderr = None  # type: ignore[assignment]
    os.close(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def look_around() -> dict[str, Any]:
    print("printed")
    os.write(1, b"written\n")
    os.write(2, b"written too\n")
    logging.getLogger().warning("logged")
    old = os.umask(0o077)
    os.umask(old)
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "disturbed": os.environ.get("DISTURBED"),
        "home": os.environ.get("HOME"),
        "umask": old,
        "sigterm": callable(signal.getsignal(signal.SIGTERM)),
        "sigalrm": signal.getsignal(signal.SIGALRM) == signal.SIG_DFL,
        "timer": signal.getitimer(signal.ITIMER_REAL)[0],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "first_path": sys.path[0],
        "recursion": sys.getrecursionlimit() > 500,
    }


def devices() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


# --- values ---------------------------------------------------------------------------------------


class ReadsBadly:
    """Pickles well and cannot be read back."""

    def __reduce__(self) -> Any:
        return (_refuse_to_be_read, ())


def _refuse_to_be_read() -> None:
    raise RuntimeError("not readable")


class Evil:
    """Tells who it was that read it."""

    def __init__(self, witness: str) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return (_testify, (self.witness,))


def _testify(witness: str) -> str:
    with Path(witness).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    return "read"


def reads_badly() -> ReadsBadly:
    return ReadsBadly()


def evil(witness: str) -> Evil:
    return Evil(witness)


def take(value: Any) -> str:
    return str(value)


def long_words() -> None:
    raise ValueError("x" * (100 * PAGE))


class Silent(Exception):
    """Raises when it is asked what it is."""

    def __str__(self) -> str:
        raise SystemExit(3)


def silent() -> None:
    raise Silent


def deep() -> None:
    deep()


def fail_often(item: int) -> None:
    raise ValueError("x" * 10_000)


def surrogates() -> str:
    logging.getLogger().warning("lone \ud800 surrogate")
    get_run_context().progress(1, message="lone \ud800 surrogate")
    print("lone \ud800 surrogate")
    return "done"


def size_of(value: Any) -> int:
    return len(value)


def leave_hanging(witness: str) -> None:
    """Start a child in a session of its own and never end."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    part = Path(f"{witness}.part")
    part.write_text(str(child.pid), encoding="utf-8")
    part.rename(witness)
    while True:
        time.sleep(1)
