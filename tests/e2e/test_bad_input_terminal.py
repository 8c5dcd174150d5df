"""Row 46 of the bad inputs: whatever is stored, printed, named or wrong, a terminal obeys none of it.

Every command runs on a pseudo terminal; what it wrote may hold line ends, and no other control.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shells import PROGRAM, Shell, stage

# Each begins with a word, so that it is found in what was written.
PARTS = (
    "\x1b]52;c;aGk=\x07", "\x1b]0;title\x1b\\", "\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[2J", "\x1b[8m", "\x1b[6n", "\x1b[?1049h", "\x1bP1$r\x1b\\", "\x1b_apc\x1b\\", "\x1b^pm\x1b\\",
    "\x1bXsos\x1b\\", "\x1bc", "\x9b2J", "\x9d52;c;x\x9c", "\x90x\x9c", "\x84\x85\x8d",
    "\u202enimda\u202c", "\u2066a\u2069", "\u200b\u200d\u2060\ufeff\u00ad", "\U000e0041", "\u2028\u2029",
    "\b\b\rover", "\x0b\x0c\x7f", "z" + "\u0301" * 20, "[/red][@click=app.quit][link=file:///]", "\x1b",
)  # fmt: skip
PAYLOAD = "hostile" + "".join(PARTS)
COLOURS = re.compile(r"\x1b\[(?:0|1|2|30|31|32|33|34|35|36|37|1;3[0-7]|2;3[0-7]|9[0-7])m")
# What is drawn in place moves the cursor and is bold all the same: none of it is the payload's.
LIVE = re.compile(COLOURS.pattern + r"|\x1b\[(?:\?25[lh]|1A|2K)|\r")
NOTHING = re.compile(r"(?!)")
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
MODULE = '''
    import json, logging, sys
    from flowdapt import artifacts, get_run_context

    TEXT = {payload}

    def loud(text: str = "") -> dict:
        print(TEXT)
        sys.stderr.write(TEXT[:-1] + "\\n" + TEXT)
        logging.getLogger(TEXT).warning("%s", TEXT)
        get_run_context().progress(1, 2, TEXT)
        artifacts.put("model", {{"key " + TEXT: TEXT}}, metadata={{"about " + TEXT: TEXT}})
        return {{"text " + TEXT: [TEXT, {{"deep": TEXT}}]}}

    class Odd(Exception):
        """An error whose class is called as somebody likes."""

    Odd.__qualname__ = "Odd" + TEXT

    def fail(text) -> None:
        raise Odd(TEXT) from ValueError(TEXT)

    def item(x: str) -> str:
        print(x)
        if len(x) > 5:
            raise Odd(x)
        return x

    def odd(text) -> object:
        return type("Odd" + TEXT.replace(chr(0), ""), (), {{"__repr__": lambda self: TEXT}})
'''


def on_a_terminal(shell: Shell, *words: str, width: int = 80, **environ: str) -> str:
    """Run a command on a pseudo terminal; return what it wrote, whatever its exit code."""
    leader, follower = pty.openpty()
    full = os.environ | shell.environ | {
        "FLOWDAPT_HOME": str(shell.home), "TERM": "xterm-256color", "COLUMNS": str(width), **environ,
    }  # fmt: skip
    process = subprocess.Popen(
        [*PROGRAM, *words], stdin=follower, stdout=follower, stderr=follower, env=full
    )
    os.close(follower)
    try:
        written = read_until_closed(leader)
        process.wait(10)
    finally:
        # One that asks something nobody answers is a failure, and is not left behind.
        process.kill()
        process.wait(10)
    os.close(leader)
    assert b"Traceback (most recent call last)" not in written or b"flowdapt/cli" not in written, (
        written[-2000:]
    )
    return written.decode()


def read_until_closed(leader: int) -> bytes:
    written = b""
    while select.select([leader], [], [], 20)[0]:
        try:
            written += os.read(leader, 65536)
        except OSError:
            break
    return written


def controls_in(text: str) -> set[str]:
    """Return the characters that a terminal obeys, hides or reorders by."""
    found = {char for char in text if unicodedata.category(char) in UNSAFE}
    if re.search("[\u0300-\u036f]{5}", text):
        found.add("a tower of marks")
    return found - {"\n"}


def harmless(text: str, own: re.Pattern[str] = NOTHING) -> str:
    """Check that no control is in a text but the program's own and line ends."""
    shown = text.replace("\r\n", "\n")
    shown = own.sub("", shown)
    assert not controls_in(shown), (sorted(map(ascii, controls_in(shown))), ascii(shown[:3000]))
    return shown


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    shell = Shell(folder / "h", {"NO_COLOR": "1"})
    shell.module("loud", MODULE.format(payload=ascii(PAYLOAD)))
    shell.apply("loud", stage("loud", "loud.loud", description=PAYLOAD), description=PAYLOAD)
    shell.apply("bad", stage("loud", "loud.loud"), stage("fail", "loud.fail"))
    shell.apply("odd", stage("odd", "loud.odd"))
    items = stage(
        "item", "loud.item", type="parameterized", map_on="rows", allow_partial_failure=True
    )
    shell.apply("items", items)
    config = {
        "kind": "config", "metadata": {"name": "noisy", "annotations": {"note " + PAYLOAD: PAYLOAD}},
        "spec": {"selector": {"type": "name", "value": "loud"}, "data": {"key " + PAYLOAD: PAYLOAD}},
    }  # fmt: skip
    shell("apply", "-f", "-", stdin=json.dumps(config), ok=True)
    given = folder / "input.json"
    given.write_text(json.dumps({"text": PAYLOAD, "extra " + PAYLOAD: PAYLOAD}))
    rows = folder / "rows.json"
    rows.write_text(json.dumps({"rows": ["a", PAYLOAD, "b"]}))
    for name in ("loud", "bad", "odd"):
        shell("run", name, "--input-file", str(given), "--label", f"who={PAYLOAD}")
    shell("run", "items", "--input-file", str(rows))
    yield shell
    shell("down", "--now", "--timeout", "20")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def runs(shell: Shell) -> dict[str, str]:
    """The newest run of each workflow."""
    found = shell.json("runs", "ls")["items"]
    return {one["workflow"]: one["name"] for one in reversed(found)}


COMMANDS = [
    "runs ls", "runs ls -o wide", "runs ls -o json", "runs ls -o jsonl", "runs ls -o yaml", "runs ls -o name",
    "runs show {loud}", "runs show {loud} -o json", "runs show {loud} -o yaml", "runs show {bad}",
    "runs show {bad} -v", "runs show {bad} -o json", "runs show {odd}", "runs show {odd} -o json",
    "runs show {items}", "runs show {items} -o yaml", "runs why {bad}", "runs why {items} -o json",
    "runs result {loud}", "runs result {loud} -o yaml", "runs result {bad}", "runs result {odd}",
    "runs result {items} -o jsonl", "runs compare {loud} {bad}", "runs wait {bad}", "runs retry {bad} --no-wait",
    "logs {loud}", "logs {loud} -o jsonl", "logs {bad} --all", "logs {items}", "logs {loud} -f",
    "events --all", "events --all -o jsonl", "get workflow loud", "get workflow loud -o yaml",
    "get workflow loud -o json", "get configs", "get configs -o wide", "get config noisy -o yaml",
    "describe workflow loud", "describe config noisy", "describe config noisy -o json", "get runs",
    "artifact ls", "artifact get model -O -", "artifact preview model", "artifact preview model -o json",
    "describe artifact model", "describe artifact model -o yaml", "status", "top --once", "metrics", "doctor",
    "api GET /runs", "api GET /runs/{loud}", "api GET /artifacts/default/model/value.json",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_row_46_no_control_of_a_payload_is_written(
    shell: Shell, runs: dict[str, str], command: str
) -> None:
    written = on_a_terminal(shell, *command.format(**runs).split())
    harmless(written)
    assert written.strip()


def test_row_46_what_was_hidden_is_shown_by_its_name(shell: Shell, runs: dict[str, str]) -> None:
    """Escaped, not dropped: who reads a log sees what was in it."""
    shown = on_a_terminal(shell, "logs", runs["loud"])
    for word in (
        r"\x1b]52;c;aGk=\x07",
        r"\x1b[2J",
        r"\x9b2J",
        r"\u202enimda",
        r"\u200b",
        r"\U000e0041",
        "[/red]",
    ):
        assert word in shown, word
    assert (
        json.loads(on_a_terminal(shell, "runs", "result", runs["loud"]))["text " + PAYLOAD][0]
        == PAYLOAD
    )


@pytest.mark.parametrize("width", [20, 80, 400])
def test_row_46_colours_are_the_programs_own(
    shell: Shell, runs: dict[str, str], width: int
) -> None:
    shell_of_colour = Shell(shell.home)
    for command in (
        "runs ls",
        "runs show {bad} -v",
        "logs {loud}",
        "runs why {bad}",
        "describe config noisy",
    ):
        words = command.format(**runs).split()
        harmless(on_a_terminal(shell_of_colour, *words, width=width), COLOURS)


@pytest.mark.parametrize("width", [20, 80, 400])
def test_row_46_bars_in_place_are_the_programs_own(shell: Shell, width: int) -> None:
    text = on_a_terminal(shell, "run", "bad", "--follow", "--text", PAYLOAD, width=width)
    harmless(text, LIVE)
    assert "fail" in text


WRONG = {
    "a command": ["{payload}"],
    "an option": ["runs", "ls", "--{payload}"],
    "a kind": ["get", "{payload}"],
    "a name": ["get", "workflow", "{payload}"],
    "a run": ["runs", "show", "{payload}"],
    "a workflow": ["run", "{payload}"],
    "an input": ["run", "loud", "--input", "{payload}"],
    "a label": ["run", "loud", "--label", "{payload}"],
    "a key": ["run", "loud", "--key", "{payload}"],
    "a namespace": ["-n", "{payload}", "artifact", "ls"],
    "a server": ["-s", "/tmp/{payload}", "status"],
    "a URL": ["-s", "http://{payload}", "status"],
    "a number": ["runs", "ls", "--limit", "{payload}"],
    "a state": ["runs", "ls", "--state", "{payload}"],
    "an instant": ["runs", "ls", "--since", "{payload}"],
    "a selector": ["get", "configs", "-l", "{payload}"],
    "a file": ["apply", "-f", "{payload}.yaml"],
    "a header": ["api", "GET", "/runs", "-H", "{payload}"],
    "a path": ["api", "GET", "/{payload}"],
    "a field": ["explain", "workflow.{payload}"],
    "a secret": ["secret", "rm", "{payload}"],
    "an artifact": ["artifact", "get", "{payload}"],
    "a backup": ["db", "restore", "{payload}"],
    "a shell": ["completion", "{payload}"],
    "a pattern": ["logs", "{payload}", "--grep", "({payload}"],
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_row_46_an_error_about_a_payload_writes_none_of_it(shell: Shell, case: str) -> None:
    payload = PAYLOAD.replace("\0", "")
    written = on_a_terminal(shell, *(word.replace("{payload}", payload) for word in WRONG[case]))
    harmless(written, LIVE if WRONG[case][0] == "run" else NOTHING)
    assert written.strip()


DOCUMENTS = {
    "an unknown field": {"kind": "workflow", "metadata": {"name": "a"}, "spec": {"stages": [], PAYLOAD: 1}},
    "an unknown kind": {"kind": PAYLOAD, "metadata": {"name": "a"}, "spec": {}},
    "a name": {"kind": "workflow", "metadata": {"name": PAYLOAD}, "spec": {"stages": []}},
    "a target": {"kind": "workflow", "metadata": {"name": "a"}, "spec": {"stages": [stage(PAYLOAD, PAYLOAD)]}},
    "a dependency": {
        "kind": "workflow", "metadata": {"name": "a"},
        "spec": {"stages": [stage("a", "loud.loud", depends_on=[PAYLOAD], **{PAYLOAD: 1})]},
    },
    "an annotation": {"kind": "config", "metadata": {"name": "a", PAYLOAD: PAYLOAD}, "spec": {}},
}  # fmt: skip


@pytest.mark.parametrize("case", DOCUMENTS)
def test_row_46_a_document_of_payloads_is_refused_in_plain_text(
    shell: Shell, case: str, tmp_path: Path
) -> None:
    file = tmp_path / "doc\x1b[2J\u202e\x9b.json"
    file.write_text(json.dumps(DOCUMENTS[case]))
    for words in (["validate", "-f", str(file)], ["apply", "-f", str(tmp_path)]):
        assert "doc" in harmless(on_a_terminal(shell, *words))


def test_row_46_a_change_is_shown_in_plain_text(shell: Shell, tmp_path: Path) -> None:
    found = shell.json("get", "config", "noisy")
    found["spec"]["data"] = {"other " + PAYLOAD: ["x", PAYLOAD]}
    file = tmp_path / "noisy.json"
    file.write_text(json.dumps(found))
    for words in (["diff"], ["apply", "--dry-run", "--diff"], ["diff", "-o", "json"]):
        assert "hostile" in harmless(on_a_terminal(shell, *words, "-f", str(file)))


def test_row_46_settings_and_modules_with_payloads_are_told_in_plain_text(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    quiet = Shell(folder / "h", {"NO_COLOR": "1"})
    (folder / "h").mkdir(mode=0o700)
    for text in (
        f"{json.dumps(PAYLOAD)} = 1\n",
        f"[database]\nurl = {json.dumps('x' + PAYLOAD)}\n",
        "[\x1b[2J",
    ):
        (folder / "h" / "config.toml").write_text(text)
        for words in (["up"], ["status"], ["doctor"], ["up", "--foreground"]):
            harmless(on_a_terminal(quiet, *words))
    harmless(on_a_terminal(quiet, "status", FLOWDAPT_HOME=str(folder / "h\x1b[2J\u202e")))
    shutil.rmtree(folder, ignore_errors=True)
