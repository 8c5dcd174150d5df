"""The program against a daemon that it starts itself: the words and codes that scripts rely on."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import stat
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.shells import PROGRAM, Shell, stage
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = """
    import os, time
    from pathlib import Path
    from flowdapt import get_run_context

    def split(n: int = 3) -> list[int]:
        print("splitting", n)
        return list(range(n))

    def square(x: int) -> int:
        get_run_context().metric("square", x * x, step=0)
        return x * x

    def add(values: list[int]) -> dict[str, int]:
        return {"sum": sum(values)}

    def fail(message: str = "no rows") -> None:
        raise ValueError(message)

    def wait(gate: str) -> str:
        while not Path(gate).exists():
            time.sleep(0.01)
        return "opened"

    def shout(text: str) -> str:
        print(text)
        return text
"""


@pytest.fixture
def shell() -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    shell = Shell(folder / "h")
    shell.module("work", CODE)
    yield shell
    shell("down", "--now", "--timeout", "20")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sums(shell: Shell) -> Shell:
    shell.apply(
        "sums",
        stage("split", "work.split"),
        stage("square", "work.square", type="parameterized", depends_on=["split"]),
        stage("add", "work.add", depends_on=["square"]),
    )
    return shell


def lives(pid: int) -> bool:
    """Say whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# -- the daemon comes and goes -------------------------------------------------------------------------


def test_a_command_that_needs_a_daemon_starts_one(shell: Shell) -> None:
    first = shell("runs", "ls", "-o", "json", ok=True)
    assert first.stdout.startswith('{\n  "items": []')
    assert "started the daemon" in first.stderr
    assert "started" not in shell("runs", "ls", ok=True).stderr


def test_up_is_idempotent_and_down_ends_it(shell: Shell) -> None:
    pids = [shell.json("up")["pid"] for _ in range(2)]
    assert pids[0] == pids[1] == shell.pid
    assert lives(pids[0])
    assert shell("down").returncode == 0
    assert not lives(pids[0])
    again = shell("down")
    assert (again.returncode, again.stdout) == (0, "")
    assert shell("runs", "ls", FLOWDAPT_AUTOSTART="0").returncode == 7


def test_many_starts_at_once_make_one_daemon(shell: Shell) -> None:
    with ThreadPoolExecutor(6) as pool:
        words = [("up", "-o", "name"), ("status", "-o", "name")] * 3
        done = list(pool.map(lambda one: shell(*one), words))
    assert [one.returncode for one in done] == [0] * 6, [one.stderr for one in done]
    assert {one.stdout.strip() for one in done} == {str(shell.pid)}


def test_a_socket_left_by_a_killed_daemon_is_no_hindrance(shell: Shell) -> None:
    old = shell.json("up")["pid"]
    os.kill(old, signal.SIGKILL)
    assert shell.json("status")["pid"] != old


def test_a_daemon_that_cannot_start_says_why_in_its_own_words(shell: Shell) -> None:
    shell.home.chmod(0o777)
    up = shell("up")
    assert up.returncode == 77
    assert "open to other users" in up.stderr
    assert "chmod 700" in up.stderr
    other = shell("runs", "ls")
    assert (other.returncode, other.stdout) == (7, "")
    assert "open to other users" in other.stderr
    shell.home.chmod(0o700)


def test_wrong_settings_are_told_by_whoever_needs_the_daemon(shell: Shell) -> None:
    (shell.home / "config.toml").write_text("[local]\nslotz = 3\n")
    up = shell("up")
    assert up.returncode == 78
    assert "slots" in up.stderr


def test_status_has_the_words_that_scripts_rely_on(shell: Shell) -> None:
    found = shell.json("status")
    assert found.keys() >= {
        "version", "pid", "uptime_s", "socket", "database", "broker", "executor", "services", "runs", "draining",
    }  # fmt: skip
    assert found["executor"].keys() >= {"name", "kind", "state", "slots"}
    assert found["runs"].keys() >= {"queued", "running"}


# -- runs --------------------------------------------------------------------------------------------------


def test_a_run_goes_through_every_command(sums: Shell) -> None:
    run = sums.json("run", "sums", "--n", "4")
    assert run.keys() >= {
        "uid", "name", "workflow", "revision", "state", "reason", "partial", "source", "executor",
        "namespace", "input", "result", "created_at", "started_at", "finished_at", "duration_s",
        "parent", "error", "stages",
    }  # fmt: skip
    assert (run["state"], run["result"], run["input"]) == ("finished", {"sum": 14}, {"n": 4})
    assert run["stages"][1].keys() >= {
        "name", "type", "state", "reason", "attempt", "items", "started_at", "finished_at", "duration_s",
    }  # fmt: skip
    assert run["stages"][1]["items"] == {"total": 4, "finished": 4, "failed": 0, "running": 0}
    name = run["name"]
    assert sums.json("runs", "show", run["uid"])["name"] == name
    assert sums.json("get", "run", name)["uid"] == run["uid"]
    assert [one["name"] for one in sums.json("runs", "ls", "-w", "sums")["items"]] == [name]
    assert sums("runs", "result", name).stdout.strip() == '{"sum":14}'
    assert "splitting 4" in sums("logs", name, "--bare").stdout
    assert sums("logs", name, "--grep", "nothing like it").stdout == ""
    assert len(sums.json("runs", "metrics", name)["items"]) == 4
    assert sums.json("runs", "why", name)["items"]
    assert sums("runs", "compare", name, name).returncode == 0
    assert any("workflow_finished" in one["type"] for one in sums.json("events")["items"])
    assert sums("runs", "rm", name).returncode == 0
    assert sums("runs", "show", name).returncode == 3


def test_the_result_alone_is_what_stdout_holds(sums: Shell) -> None:
    done = sums("run", "sums", "--result-only")
    assert (done.returncode, done.stdout.strip()) == (0, '{"sum":5}')


def test_the_codes_tell_how_it_ended(sums: Shell) -> None:
    sums.apply("bad", stage("fail", "work.fail"))
    failed = sums("run", "bad", "--message", "no luck")
    assert failed.returncode == 1
    assert '✖ stage "fail"  ValueError: no luck' in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "work.py" in sums("run", "bad", "-v").stderr
    assert sums("run", "smus").returncode == 3
    assert sums("run", "sums", "--key", "k", "--n", "1").returncode == 0
    assert sums("run", "sums", "--key", "k", "--n", "1").returncode == 0
    assert sums("run", "sums", "--key", "k", "--n", "2").returncode == 4
    assert len(sums.json("runs", "ls", "-w", "sums")["items"]) == 1


def test_a_retry_takes_over_what_had_finished(shell: Shell) -> None:
    shell.apply(
        "half", stage("split", "work.split"), stage("broken", "work.fail", depends_on=["split"])
    )
    first = shell("run", "half", "-o", "name")
    assert first.returncode == 1
    shell.module("work", CODE.replace("raise ValueError(message)", "return 7"))
    again = shell.json("runs", "retry", first.stdout.strip())
    assert again["state"] == "finished"
    assert [one["inherited"] for one in again["stages"]] == [True, False]


def test_patience_ends_with_8_and_the_run_goes_on(shell: Shell, tmp_path: Path) -> None:
    shell.apply("gate", stage("wait", "work.wait"))
    gate = tmp_path / "gate"
    late = shell("run", "gate", "--gate", str(gate), "--timeout", "200ms", "-o", "name")
    assert late.returncode == 8
    (run,) = shell.json("runs", "ls", "--state", "running")["items"]
    gate.touch()
    assert shell("runs", "wait", run["name"], "--timeout", "30").returncode == 0


@pytest.mark.parametrize(("interrupts", "state"), [(1, "running"), (2, "cancelled")])
def test_ctrl_c_detaches_and_twice_cancels(
    shell: Shell, tmp_path: Path, interrupts: int, state: str
) -> None:
    shell.apply("gate", stage("wait", "work.wait"))
    command = shell.start("run", "gate", "--gate", str(tmp_path / "gate"))
    run = eventually(lambda: shell.json("runs", "ls", "--state", "running")["items"])[0]
    command.send_signal(signal.SIGINT)
    assert command.stderr is not None
    said = ""
    while "Ctrl-C once more" not in said:
        said += command.stderr.readline()
    if interrupts == 2:
        command.send_signal(signal.SIGINT)
    assert command.wait(20) == 130
    assert f"flowdapt runs wait {run['name']}" in said
    command.stderr.close()
    assert command.stdout is not None
    command.stdout.close()
    eventually(lambda: shell.json("runs", "show", run["name"])["state"] == state)
    shell("runs", "cancel", run["name"], "--wait")


def test_a_waiting_command_outlives_the_daemon(shell: Shell, tmp_path: Path) -> None:
    """It starts the next daemon itself, and the run goes on."""
    shell.apply("gate", stage("wait", "work.wait"))
    gate = tmp_path / "gate"
    command = shell.start("run", "gate", "--gate", str(gate), "--follow", "-o", "json")
    eventually(lambda: shell.json("runs", "ls", "--state", "running")["items"])
    old = shell.pid
    os.kill(old, signal.SIGKILL)
    gate.touch()
    out, err = command.communicate(timeout=60)
    assert command.returncode == 0, err
    assert '"result": "opened"' in out
    assert shell.pid != old


def test_a_waiting_command_does_not_undo_a_down(shell: Shell, tmp_path: Path) -> None:
    """The run goes on with the next daemon, whenever somebody starts it."""
    shell.apply("gate", stage("wait", "work.wait"))
    gate = tmp_path / "gate"
    command = shell.start("run", "gate", "--gate", str(gate), "--follow")
    (run,) = eventually(lambda: shell.json("runs", "ls", "--state", "running")["items"])
    shell("down", "--now", ok=True)
    out, err = command.communicate(timeout=60)
    assert (command.returncode, out) == (7, ""), err
    assert f"flowdapt runs wait {run['name']}" in err
    gate.touch()
    shell("up", ok=True)
    assert shell("runs", "wait", run["name"], "--timeout", "30").returncode == 0


# -- documents -----------------------------------------------------------------------------------------------


def test_documents_go_in_come_out_change_and_go_back(sums: Shell, tmp_path: Path) -> None:
    text = sums("get", "workflow", "sums", "-o", "yaml").stdout
    file = tmp_path / "sums.yaml"
    file.write_text(text)
    assert sums("diff", "-f", str(file)).returncode == 0
    file.write_text(text.replace("spec:", "spec:\n  timeout: 2h"))
    diff = sums("diff", "-f", str(file))
    assert diff.returncode == 1
    assert "+  timeout: " in diff.stdout
    assert sums.json("apply", "-f", str(file))["items"][0]["action"] == "updated"
    stale = sums("apply", "-f", str(file))
    assert stale.returncode == 4, "the file still says revision 1"
    assert sums("rollback", "workflow", "sums", "--to", "1").returncode == 0
    assert "timeout" not in sums.json("get", "workflow", "sums")["spec"]
    assert "split" in sums("describe", "workflow", "sums").stdout
    assert sums("delete", "workflow", "sums").returncode == 0
    assert sums("get", "workflow", "sums").returncode == 3


def test_every_mistake_of_a_document_is_told_at_its_place(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "kind: workflow\nmetadata: {name: bad}\nspec:\n  stages:\n"
        "    - {name: fetch_data, target: m.f}\n"
        "    - name: process\n      target: m.g\n      depends_on: [fetch_dat]\n      retires: 3\n"
    )
    done = shell("apply", "-f", str(file))
    assert (done.returncode, done.stdout) == (5, "")
    assert f"✖ {file}:8:" in done.stderr
    assert 'did you mean "fetch_data"?' in done.stderr
    assert f"✖ {file}:9:7" in done.stderr
    assert f"or add the stage, then  flowdapt apply -f {file}" in done.stderr


def test_an_edit_reaches_the_daemon(sums: Shell, tmp_path: Path) -> None:
    program = tmp_path / "editor"
    program.write_text("#!/bin/sh\nexec sed -i 's/^spec:/spec:\\n  timeout: 3h/' \"$1\"\n")
    program.chmod(0o700)
    assert sums("edit", "workflow", "sums", "--yes", EDITOR=str(program), VISUAL="").returncode == 0
    assert sums.json("get", "workflow", "sums")["metadata"]["revision"] == 2


# -- artifacts, secrets, upkeep ------------------------------------------------------------------------------------


def test_artifacts_and_secrets_go_in_and_out(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "w.bin"
    file.write_bytes(bytes(range(256)) * 100)
    assert shell("artifact", "put", "weights", str(file)).returncode == 0
    assert shell("artifact", "get", "weights", "-O", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert [one["name"] for one in shell.json("artifact", "ls")["items"]] == ["weights"]
    assert shell("artifact", "rm", "weights").returncode == 0
    assert shell("artifact", "get", "weights").returncode == 3
    assert shell("secret", "set", "KEY", stdin="s3cret\n").returncode == 0
    assert "KEY" in shell("secret", "ls").stdout
    everything = b"".join(p.read_bytes() for p in shell.home.rglob("*.log"))
    assert b"s3cret" not in everything
    assert shell("secret", "rm", "KEY").returncode == 0


def test_the_database_is_backed_up_restored_and_migrated_on_the_files(sums: Shell) -> None:
    name = sums("run", "sums", "-o", "name", ok=True).stdout.strip()
    backup = sums.json("db", "backup")["path"]
    assert stat.S_IMODE(Path(backup).stat().st_mode) == 0o600
    assert sums("db", "restore", backup, "--yes").returncode == 73, "a daemon holds the files"
    sums("runs", "rm", name, ok=True)
    sums("down", ok=True)
    assert backup in sums("db", "restore").stdout
    assert sums("db", "restore", backup).returncode == 1, "nobody said yes"
    assert sums("db", "restore", backup, "--yes").returncode == 0
    assert sums("db", "migrate").returncode == 0
    assert sums.json("runs", "show", name)["result"] == {"sum": 5}


def test_the_doctor_looks_with_and_without_a_daemon_and_mends(sums: Shell) -> None:
    sums("run", "sums", ok=True)
    assert {one["level"] for one in sums.json("doctor")["items"]} == {"ok"}
    os.kill(sums.pid, signal.SIGKILL)
    (sums.home / "logs" / "daemon.log").chmod(0o644)
    found = {one["check"]: one["level"] for one in sums.json("doctor")["items"]}
    assert (found["daemon"], found["modes"], found["store"]) == ("warning", "warning", "ok")
    assert "mended" in sums("doctor", "--fix").stdout
    assert {one["level"] for one in sums.json("doctor")["items"]} == {"ok"}
    assert stat.S_IMODE((sums.home / "logs" / "daemon.log").stat().st_mode) == 0o600


def test_the_doctor_sees_a_damaged_database_and_leaves_it(sums: Shell) -> None:
    backup = sums.json("db", "backup")["path"]
    sums("down", ok=True)
    database = sums.home / "flowdapt.db"
    damaged = bytearray(database.read_bytes())
    damaged[4096:12288] = b"\xff" * 8192
    database.write_bytes(damaged)
    done = sums("doctor")
    assert done.returncode == 1
    assert f"flowdapt db restore {backup}" in done.stdout
    assert database.read_bytes() == bytes(damaged)
    assert sums("db", "restore", backup, "--yes").returncode == 0
    assert sums("doctor").returncode == 0


# -- the terminal -----------------------------------------------------------------------------------------------------


def on_a_terminal(shell: Shell, *words: str) -> bytes:
    """Run a command on a pseudo terminal of 80 columns; return every byte that it wrote."""
    leader, follower = pty.openpty()
    environ = os.environ | {
        "FLOWDAPT_HOME": str(shell.home),
        "TERM": "xterm-256color",
        "COLUMNS": "80",
    }
    process = subprocess.Popen(
        [*PROGRAM, *words], stdin=follower, stdout=follower, stderr=follower, env=environ
    )
    os.close(follower)
    written = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        written += piece
    process.wait(30)
    os.close(leader)
    return written


PAYLOAD = "\x1b]52;c;aGk=\x07\x1b]0;title\x07\x1b[2J\x1b[8m\x1b[6n\x9b31m\u202e\u2066[/red][@click=app.quit]x"


def test_what_a_stage_prints_never_reaches_the_terminal_as_it_is(shell: Shell) -> None:
    shell.apply("loud", stage("shout", "work.shout"), stage("fail", "work.fail"))
    run = shell.json("run", "loud", "--no-wait", "--text", PAYLOAD, "--message", PAYLOAD)
    shell("runs", "wait", run["name"])
    for words in (["logs", run["name"]], ["runs", "show", run["name"], "-v"], ["runs", "ls"],
                  ["runs", "ls", "-o", "json"], ["logs", run["name"], "-o", "jsonl"]):  # fmt: skip
        written = on_a_terminal(shell, *words)
        text = written.decode()
        for bad in ("\x1b]", "\x1b[2J", "\x1b[8m", "\x1b[6n", "\x9b", "\u202e", "\u2066", "\x07"):
            assert bad not in text, (words, bad)
    assert rb"\x1b]52;c;aGk=\x07" in on_a_terminal(shell, "logs", run["name"])


def test_a_run_is_followed_with_bars_on_a_terminal(sums: Shell) -> None:
    text = on_a_terminal(sums, "run", "sums", "--follow").decode()
    assert "square" in text
    assert "3/3" in text
    assert '{"sum": 5}' in text
    assert "\x1b[?25h" in text, "the cursor is back"
