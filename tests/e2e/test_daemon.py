"""The daemon as a process: it starts once, is ready soon, drains, and loses nothing when it is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flowdapt.client.stream import EventDecoder
from flowdapt.client.unix import UnixTransport
from flowdapt.client.wire import Request
from flowdapt.daemon.memory import make_memory_directory
from flowdapt.paths import find_paths
from tests.e2e.daemons import COMMAND, Daemon
from tests.lacking import lacking
from tests.waiting import eventually

# A user who is nobody here.
OTHER = 12345
BECOME_OTHER = f"os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER});"
SLEEPER = """
    import time
    def stage(seconds=60.0):
        time.sleep(seconds)
        return "slept"
"""


def exit_code(
    home: Path, environ: dict[str, str] | None = None, command: list[str] = COMMAND
) -> tuple[int, str]:
    """Start a daemon that is to refuse; return its exit code and what it said."""
    done = subprocess.run(
        command, env=os.environ | {"FLOWDAPT_HOME": str(home)} | (environ or {}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_run_goes_through_and_its_words_are_kept(daemon: Daemon) -> None:
    daemon.start()
    daemon.define("hello", "def stage(name='you'):\n    print('hello', name)\n    return len(name)")
    run = daemon.run("hello", name="world")
    assert (run["state"], run["result"]) == ("finished", 5)
    logs = daemon.json("GET", f"/api/v1/runs/{run['uid']}/logs")
    assert [line["text"] for line in logs["items"]] == ["hello world"]
    assert daemon.stop() == 0


def test_two_daemons_do_not_share_a_directory(daemon: Daemon) -> None:
    daemon.start()
    code, said = exit_code(daemon.home)
    assert code == 73
    assert f"process {daemon.pid}" in said
    assert daemon.is_ready(), "the socket of the first survives"


def test_locks_and_sockets_of_the_dead_are_no_obstacle(daemon: Daemon) -> None:
    daemon.start()
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    # A pid that is somebody else's by now changes nothing: the kernel's lock counts.
    daemon.kill()
    (daemon.home / "daemon.lock").write_text(json.dumps({"pid": os.getpid()}))
    daemon.start()
    assert daemon.stop() == 0
    assert not daemon.socket.exists()


def test_a_killed_daemon_goes_on_where_it_was(daemon: Daemon) -> None:
    daemon.start()
    witness = daemon.home.parent / "witness"
    daemon.define(
        "slow",
        f"""
        import pathlib, time
        def stage():
            with open({str(witness)!r}, "a") as file:
                file.write("began\\n")
            time.sleep(1.0)
            return "done"
        """,
    )
    uid = daemon.run("slow", wait_s=0)["uid"]
    eventually(witness.exists, what="the stage began")
    daemon.kill()
    daemon.start()
    run = daemon.json("GET", f"/api/v1/runs/{uid}", prefer="wait=30")
    assert (run["state"], run["result"]) == ("finished", "done")
    assert witness.read_text().count("began") == 2


def test_a_drain_lets_a_short_stage_end(daemon: Daemon) -> None:
    daemon.start()
    daemon.define("sleeper", SLEEPER)
    uid = daemon.run("sleeper", wait_s=0, seconds=1.0)["uid"]
    eventually(lambda: daemon.get(uid)["stages"][0]["state"] == "running", what="it runs")
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.ask("GET", "/readyz").status == 503, what="not ready any more")
    refused = daemon.ask("POST", "/api/v1/workflows/sleeper/runs")
    assert (refused.status, json.loads(refused.body)["code"]) == (503, "daemon.draining")
    assert daemon.json("GET", "/api/v1/status")["draining"] is True
    assert daemon.end() == 0
    daemon.start()
    assert daemon.get(uid)["result"] == "slept"


def test_a_drain_gives_back_what_does_not_end_and_counts_no_loss(daemon: Daemon) -> None:
    daemon.environ["FLOWDAPT_DRAIN_TIMEOUT"] = "0.5s"
    daemon.start()
    daemon.define("sleeper", SLEEPER)
    uid = daemon.run("sleeper", wait_s=0, seconds=60.0)["uid"]
    eventually(lambda: daemon.get(uid)["stages"][0]["state"] == "running", what="it runs")
    children = psutil.Process(daemon.pid).children(recursive=True)
    assert daemon.stop() == 0
    assert not [child for child in children if child.is_running()]
    daemon.start()
    run = eventually(lambda: _running(daemon, uid), what="it runs again")
    assert (run["state"], run["stages"][0]["losses"]) == ("running", 0)
    daemon.ask("POST", f"/api/v1/runs/{uid}/cancel")


def _running(daemon: Daemon, uid: str) -> dict[str, object] | None:
    run = daemon.get(uid)
    return run if run["stages"][0]["state"] == "running" else None


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(daemon: Daemon, first: signal.Signals) -> None:
    daemon.start()
    daemon.define("sleeper", SLEEPER)
    uid = daemon.run("sleeper", wait_s=0)["uid"]
    eventually(lambda: daemon.get(uid)["stages"][0]["state"] == "running", what="it runs")
    daemon.signal(first)
    eventually(lambda: "draining" in daemon.said(), what="it drains")
    daemon.signal(signal.SIGTERM)
    assert daemon.end(8) == 0
    daemon.start()
    assert daemon.get(uid)["stages"][0]["losses"] == 0


def test_a_client_may_end_it_and_change_its_mind(daemon: Daemon) -> None:
    daemon.start()
    daemon.define("sleeper", SLEEPER)
    uid = daemon.run("sleeper", wait_s=0, seconds=2.0)["uid"]
    eventually(lambda: daemon.get(uid)["stages"][0]["state"] == "running", what="it runs")
    assert daemon.ask("POST", "/api/v1/drain").status == 202
    assert daemon.ask("GET", "/readyz").status == 503
    assert daemon.ask("DELETE", "/api/v1/drain").status == 200
    eventually(lambda: daemon.ask("GET", "/readyz").ok, what="it takes work again")
    assert daemon.run("sleeper", seconds=0.0)["state"] == "finished"
    assert daemon.json("GET", f"/api/v1/runs/{uid}", prefer="wait=10")["state"] == "finished"
    assert daemon.ask("POST", "/api/v1/drain?now=true").status == 202
    assert daemon.end() == 0


def test_signals_before_it_is_ready_end_it_too(daemon: Daemon) -> None:
    daemon.start(wait=False)
    eventually((daemon.home / "daemon.lock").exists, what="it has begun")
    daemon.signal(signal.SIGTERM)
    assert daemon.end() in (0, -signal.SIGTERM)
    daemon.start()


def test_every_file_is_ours_alone_whatever_the_umask(daemon: Daemon) -> None:
    before = os.umask(0)
    try:
        daemon.start()
    finally:
        os.umask(before)
    daemon.define("hello", "def stage():\n    print('x')\n    return list(range(100000))")
    daemon.json("PUT", "/api/v1/secrets/A", {"value": "x"})
    daemon.ask("PUT", "/api/v1/artifacts/default/a/f", "x")
    daemon.json("POST", "/api/v1/backup")
    assert daemon.run("hello")["state"] == "finished"
    loose = [
        (path, oct(mode))
        for path in daemon.home.rglob("*")
        if "user_modules" not in path.parts
        and not path.is_symlink()
        and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077
    ]
    assert loose == []


def test_an_open_home_is_refused(daemon: Daemon) -> None:
    daemon.home.mkdir()
    daemon.home.chmod(0o777)
    code, said = exit_code(daemon.home)
    assert code == 77
    assert f"chmod 700 {daemon.home}" in said
    assert "Traceback" not in said


def test_a_home_that_is_a_link_is_refused(daemon: Daemon) -> None:
    real = daemon.home.parent / "real"
    real.mkdir(mode=0o700)
    daemon.home.symlink_to(real)
    assert exit_code(daemon.home)[0] == 77


def test_a_home_under_a_file_is_refused(daemon: Daemon) -> None:
    daemon.home.parent.joinpath("file").touch()
    code, said = exit_code(daemon.home.parent / "file" / "h")
    assert code == 74
    assert "cannot be made" in said


def test_a_home_that_cannot_be_written_is_refused(daemon: Daemon) -> None:
    daemon.home.mkdir(mode=0o500)
    # Root may write everywhere, so the daemon is another user's then.
    become = ""
    if os.geteuid() == 0:
        daemon.home.parent.chmod(0o755)
        os.chown(daemon.home, OTHER, OTHER)
        become = BECOME_OTHER
    code = f"import os, sys, flowdapt.settings, flowdapt.daemon as d; {become} sys.exit(d.main())"
    found, said = exit_code(daemon.home, command=[sys.executable, "-c", code])
    assert found == 74, said
    assert "cannot be written" in said


def _as_root() -> None:
    if os.geteuid() != 0:
        raise lacking("needs root to have another user")


def test_a_home_of_another_user_is_refused(daemon: Daemon) -> None:
    _as_root()
    daemon.home.mkdir(mode=0o700)
    os.chown(daemon.home, OTHER, OTHER)
    code, said = exit_code(daemon.home)
    assert code == 77
    assert "belongs to user 12345" in said


def test_wrong_settings_are_refused_with_a_suggestion(daemon: Daemon) -> None:
    daemon.home.mkdir(mode=0o700)
    (daemon.home / "config.toml").write_text("[local]\nslotz = 3\n")
    code, said = exit_code(daemon.home)
    assert code == 78
    assert "did you mean slots" in said


def test_a_database_of_garbage_is_refused_and_kept(daemon: Daemon) -> None:
    daemon.home.mkdir(mode=0o700)
    (daemon.home / "flowdapt.db").write_bytes(b"garbage" * 1000)
    code, said = exit_code(daemon.home)
    assert code == 65
    assert "[store.corrupt]" in said


def test_less_than_all_services_need_another_database(daemon: Daemon) -> None:
    code, said = exit_code(daemon.home, {"FLOWDAPT_SERVICES__COMPUTE": "false"})
    assert code == 78
    assert "PostgreSQL" in said


def test_a_secret_reaches_the_stage_that_declares_it_alone(daemon: Daemon) -> None:
    daemon.environ["FLOWDAPT_SECRET_FROM_ENV"] = "env-hunter2"
    daemon.start()
    daemon.json("PUT", "/api/v1/secrets/KEPT", {"value": "kept-hunter2"})
    code = """
        import os
        def stage():
            print("values", os.environ.get("KEPT"), os.environ.get("FROM_ENV"))
            return sorted(
                name for name, value in os.environ.items() if "hunter2" in value
            )
    """
    daemon.define("told", code, secrets=["KEPT", "FROM_ENV"])
    daemon.define("untold", code)
    told, untold = daemon.run("told"), daemon.run("untold")
    assert untold["result"] == []
    assert told["result"] == ["FROM_ENV", "KEPT"]
    for run in (told, untold):
        for part in ("", "/logs", "/events"):
            assert b"hunter2" not in daemon.ask("GET", f"/api/v1/runs/{run['uid']}{part}").body
    assert "hunter2" not in daemon.said()
    daemon.stop()
    left = [
        path
        for path in daemon.home.rglob("*")
        if path.is_file() and "user_modules" not in path.parts and b"hunter2" in path.read_bytes()
    ]
    assert [path.name for path in left] == ["secrets.json"]


def test_a_service_manager_is_told(daemon: Daemon) -> None:
    daemon.home.parent.mkdir(exist_ok=True)
    address = daemon.home.parent / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        daemon.environ["NOTIFY_SOCKET"] = str(address)
        daemon.start()
        assert b"READY=1" in manager.recv(4096)
        daemon.signal(signal.SIGTERM)
        assert b"STOPPING=1" in manager.recv(4096)
    assert daemon.end() == 0


def test_an_idle_daemon_is_small_and_still(daemon: Daemon) -> None:
    daemon.environ["FLOWDAPT_LOCAL__IDLE_TIMEOUT"] = "0.5s"
    daemon.start()
    daemon.define("hello", "def stage():\n    return 1")
    daemon.run("hello")
    process = psutil.Process(daemon.pid)
    eventually(lambda: not process.children(), what="idle workers end")
    before = process.cpu_times()
    wakes = process.num_ctx_switches().voluntary
    # Nothing may be awaited here but time itself: it is the measure.
    _let_pass(6.0)
    used = sum(process.cpu_times()[:2]) - sum(before[:2])
    assert used <= 0.05, f"{used:.2f} s of CPU in 6 s"
    assert process.num_ctx_switches().voluntary - wakes < 60


def _let_pass(seconds: float) -> None:
    import threading

    threading.Event().wait(seconds)


def test_nothing_begins_on_a_full_disk_and_nothing_is_lost(daemon: Daemon) -> None:
    daemon.environ["FLOWDAPT_STORAGE__MIN_FREE"] = "1000PB"
    daemon.start()
    daemon.define("hello", "def stage():\n    return 1")
    run = daemon.run("hello", wait_s=1)
    assert run["state"] == "queued"
    daemon.stop()
    del daemon.environ["FLOWDAPT_STORAGE__MIN_FREE"]
    daemon.start()
    assert daemon.json("GET", f"/api/v1/runs/{run['uid']}", prefer="wait=20")["state"] == "finished"


def test_another_user_is_kept_out_even_where_the_doors_were_opened(daemon: Daemon) -> None:
    _as_root()
    daemon.start()
    code = (
        f"import os, socket, sys; {BECOME_OTHER}"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(b'GET /livez HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(s.recv(100))"
    )
    command = [sys.executable, "-c", code, str(daemon.socket)]

    def attempt() -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    assert "PermissionError" in attempt()
    for path in (daemon.home.parent, daemon.home, daemon.socket.parent):
        path.chmod(0o755)
    daemon.socket.chmod(0o666)
    said = attempt()
    assert "HTTP/1.1" not in said
    assert "b''" in said or "ConnectionResetError" in said or "BrokenPipeError" in said
    assert daemon.is_ready()


def test_log_lines_are_followed_while_the_stage_runs(daemon: Daemon) -> None:
    daemon.start()
    daemon.define(
        "talks",
        """
        import time
        def stage():
            for number in range(5):
                print("line", number, flush=True)
                time.sleep(0.2)
        """,
    )
    uid = daemon.run("talks", wait_s=0)["uid"]
    request = Request("GET", f"/api/v1/runs/{uid}/logs", (), (("accept", "text/event-stream"),))
    decoder, events = EventDecoder(), []
    with UnixTransport(daemon.socket).stream(request) as answer:
        for chunk in answer.chunks:
            events += [
                (event.type, time.monotonic(), event.json()) for event in decoder.feed(chunk)
            ]
    lines = [data["text"] for kind, _, data in events if kind == "log"]
    assert lines == [f"line {number}" for number in range(5)]
    assert events[-1][0] == "end"
    came = [at for kind, at, _ in events if kind == "log"]
    assert came[-1] - came[0] > 0.4, "they came one after the other"


def test_cluster_memory_ends_with_the_work(daemon: Daemon) -> None:
    daemon.start()
    daemon.define("hello", "def stage():\n    return 1")
    daemon.run("hello")
    paths = find_paths({"FLOWDAPT_HOME": str(daemon.home)})
    place = make_memory_directory(paths).parent
    assert daemon.stop() == 0
    assert not place.exists()


@pytest.mark.parametrize("background", ["0", "1"])
def test_a_part_that_fails_ends_the_daemon_and_says_so(daemon: Daemon, background: str) -> None:
    # The first look for runs of dead owners fails as no storage of ours does.
    daemon.environ |= {
        "FLOWDAPT_FAILPOINT": "recover.before_store:eio",
        "FLOWDAPT_BACKGROUND": background,
    }
    daemon.start()
    daemon.define("sleeper", SLEEPER)
    uid = daemon.run("sleeper", wait_s=0)["uid"]
    eventually(lambda: daemon.get(uid)["stages"][0]["state"] == "running", what="it runs")
    daemon.kill()
    daemon.start(wait=False)
    assert daemon.end() == 70
    assert "Input/output error" in daemon.said()
    assert not daemon.socket.exists()
    if background == "1":
        assert "daemon.log" in daemon.said()
        assert "Traceback" not in daemon.said()
    del daemon.environ["FLOWDAPT_FAILPOINT"]
    daemon.start()
    daemon.ask("POST", f"/api/v1/runs/{uid}/cancel")
