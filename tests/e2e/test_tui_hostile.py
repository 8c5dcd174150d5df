"""Row 46 of the bad inputs, on the screens: what users' code and strangers say is drawn, never obeyed.

The real program on a pseudo terminal, on a real daemon whose every text is hostile; what it wrote
is taken apart byte by byte: only what Textual itself says may be in it.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemons import Daemon
from tests.tui.terminal import Terminal, terminal

pytestmark = [pytest.mark.terminal, pytest.mark.slow]

ATTACKS = (
    "\x1b]52;c;aGk=\x07", "\x1b]0;title\x1b\\", "\x1b]2;title\x07", "\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[2J", "\x1b[8m", "\x1b[6n", "\x1b[?47h", "\x1b[20t", "\x1bP1$r\x1b\\", "\x1bP+q544e\x1b\\", "\x1b_apc\x1b\\",
    "\x1b^pm\x1b\\", "\x1bXsos\x1b\\", "\x1bc", "\x1b[!p", "\x9b2J", "\x9d52;c;x\x9c", "\x90x\x9c", "\x84\x85\x8d",
    "\u202enimda\u202c", "\u2066a\u2069", "\u200b\u200d\u2060\ufeff\u00ad", "\U000e0041", "\u2028\u2029",
    "\b\b\rover", "\x0b\x0c\x7f\x05\x0e", "z" + "\u0301" * 20, "[/red][@click=app.quit]", "[link=file:///]", "\x00", "\x1b",
)  # fmt: skip
MODULE = '''
    import logging, sys
    from flowdapt import artifacts, get_run_context

    ATTACKS = {attacks}

    class Odd(Exception):
        """An error whose class is called as somebody likes."""

    Odd.__qualname__ = "Odd" + ATTACKS[0]

    def stage(text="", **more):
        for attack in ATTACKS:
            print("LOGQ" + attack)
            sys.stderr.write("LOGQ" + attack + "\\n")
        logging.getLogger("LOGQ" + ATTACKS[0]).warning("%s", "LOGQ" + ATTACKS[1])
        get_run_context().progress(1, 2, "PROGQ" + ATTACKS[4])
        artifacts.put("model", {{"KEYQ" + ATTACKS[0]: "VALUEQ" + ATTACKS[4]}}, metadata={{"METAQ" + ATTACKS[4]: "METAQ" + ATTACKS[16]}})
        if more:
            return {{"RESULTQ" + attack: "RESULTQ" + attack for attack in ATTACKS}}
        raise Odd("ERRORQ" + "".join(ATTACKS)) from ValueError("CAUSEQ" + "".join(ATTACKS))
'''
# All that Textual and the program say to a terminal: colours, places, modes, questions. Whatever
# else begins with a control came with a payload.
OWN = re.compile(
    rb"\x1b\[(?:"
    rb"(?!(?:[0-9:;]*;)?0?8(?:[;:]|m))[0-9:;]*m"  # every colour and weight, but never hidden text
    rb"|[0-9;]*H|\?(?:7|25|1000|1003|1004|1006|1015|1016|1049|2004|2026|2048)[hl]"
    rb"|\?(?:2026|2048)\$p|[>=<][0-9;]*u|\?u)"
    rb"|\x1bP\+q544e\x1b\\(?<!Q\x1bP\+q544e\x1b\\)"
    rb"|\x1b\]22;[a-z]*\x07"
)
COLOUR_BY_NUMBER = re.compile(rb"(?<=[\[;])(?:3|4)8[;:](?:2[;:]\d+[;:]\d+[;:]\d+|5[;:]\d+)")
COPIED = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def hostile(mark: str) -> str:
    """Return every attack with a mark before it; no document may hold a NUL, logs and errors may."""
    return "".join(f"{mark}{attack}" for attack in ATTACKS if attack != "\0")


def strange(text: str) -> list[str]:
    """Return what a terminal would obey, hide or reorder by, with what stands around it."""
    found = [
        ascii(text[max(0, place - 30) : place + 30])
        for place, char in enumerate(text)
        if unicodedata.category(char) in UNSAFE and char not in "\r\n"
    ]
    return found + [ascii(tower) for tower in re.findall("[\u0300-\u036f]{5,}", text)]


def not_its_own(wrote: bytes) -> list[str]:
    """Return the controls in what was written that neither Textual nor the program itself says."""
    plain = OWN.sub(b"", COLOUR_BY_NUMBER.sub(b"39", wrote))
    return strange(COPIED.sub(b"", plain).decode())


def copied(wrote: bytes) -> list[str]:
    return [base64.b64decode(found).decode() for found in COPIED.findall(wrote)]


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    daemon = Daemon(folder / "h")
    try:
        daemon.start()
        furnish(daemon)
        yield daemon
    finally:
        daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)


def furnish(daemon: Daemon) -> None:
    """Put payloads wherever the daemon takes a text."""
    daemon.define("loud", MODULE.format(attacks=ascii(ATTACKS)), description=hostile("STAGEQ"))
    found = daemon.json("GET", "/api/v1/workflows/loud")
    documents = [
        found | {
            "spec": found["spec"] | {"description": hostile("WORKFLOWQ")},
            "metadata": found["metadata"] | {"annotations": {"note": hostile("NOTEQ"), "group": hostile("GROUPQ")}},
        },
        {
            "kind": "config", "metadata": {"name": "noisy", "annotations": {"NOTEQ" + hostile(""): hostile("NOTEQ")}},
            "spec": {"selector": {"type": "name", "value": "loud"}, "data": {hostile("DATAQ"): hostile("DATAQ")}},
        },
        {
            "kind": "trigger", "metadata": {"name": "rule", "annotations": {"note": hostile("NOTEQ")}},
            "spec": {
                "type": "condition", "description": hostile("RULEQ"),
                "rule": {"eq": [{"var": "data.word"}, hostile("WORDQ")]},
                "actions": [{"target": "run_workflow", "parameters": {"workflow": "loud", "input": {"text": hostile("ACTQ")}}}],
            },
        },
    ]  # fmt: skip
    daemon.json("POST", "/api/v1/apply", documents)
    labels = {"who": hostile("LABELQ")[:200]}
    for given in (
        {"text": hostile("INPUTQ")},
        {"text": "x", "INPUTQ" + hostile(""): hostile("INPUTQ")},
    ):
        daemon.json(
            "POST",
            "/api/v1/workflows/loud/runs",
            {"input": given, "labels": labels},
            prefer="wait=30",
        )
    event = {"type": "com.example.loud", "source": "/tests", "data": {"word": hostile("EVENTQ")}}
    daemon.json("POST", "/api/v1/events", event)
    daemon.json("POST", "/api/v1/events", event | {"data": {"word": hostile("WORDQ")}})


def visit(ours: Terminal, *keys: str | bytes) -> None:
    """Press keys one by one, each when the screen has come to rest."""
    for key in keys:
        ours.press(key.encode() if isinstance(key, str) else key)
        while ours.read(0.12):
            pass


ENTER, ESCAPE, TAB, COPY_ALL, HELP = b"\r", b"\x1b", b"\t", b"Y", b"?"
EACH = [ENTER, TAB, TAB, ESCAPE, b"d", ESCAPE, HELP, ESCAPE, b"y", COPY_ALL]
LARGE, SMALL = (180, 50), (80, 24)
TOURS: dict[str, tuple[tuple[int, int], list[bytes], set[str]]] = {
    "1 pulse": (LARGE, EACH, set()),
    "2 workflows": (SMALL, [*EACH, b"w", ESCAPE, b"="], set()),
    "3 runs": (LARGE, [*EACH, b"j", *EACH, b"w", ESCAPE, b"R", ESCAPE], {"ERRORQ"}),
    "3 a run, tab by tab": (
        LARGE,
        [ENTER, *[TAB, b"j", COPY_ALL] * 9, b"l", b"/", b"LOGQ", ENTER, b"n", ESCAPE, ESCAPE],
        {"ERRORQ", "LOGQ", "CAUSEQ", "ACTQ"},
    ),
    "3 runs, small": (SMALL, [*EACH, b"w", ESCAPE, b"l", ESCAPE, b"r", ESCAPE], set()),
    "4 triggers": (LARGE, [*EACH, b"w", ESCAPE, b"t", ESCAPE], set()),
    "5 configs": (LARGE, EACH, set()),
    "6 executors": (SMALL, EACH, set()),
    "7 events": (LARGE, [*EACH, b"j", *EACH], set()),
    "8 artifacts": (LARGE, EACH, set()),
    "9 plugins, 0 system": (SMALL, [*EACH, b"0", *EACH], set()),
}


@pytest.mark.parametrize("view", TOURS)
def test_row_46_no_control_of_a_payload_reaches_the_terminal(served: Daemon, view: str) -> None:
    size, tour, marks = TOURS[view]
    environ = {"FLOWDAPT_HOME": str(served.home), "EDITOR": "true", "NO_COLOR": ""}
    with terminal("ui", environ=environ, size=size) as ours:
        ours.until(b"live")
        visit(ours, view[0], *tour, b"\x0c", ESCAPE, b"\x10", ESCAPE)
        assert not_its_own(ours.wrote) == []
        assert [text for text in copied(ours.wrote) if text == "hi" or strange(text)] == []
        shown = OWN.sub(b"", ours.wrote).decode()
        assert {mark for mark in marks if mark not in shown} == set()
        ours.press(b"\x11")
        assert ours.end() == 0
    assert not_its_own(ours.wrote) == []


def test_row_46_what_is_typed_and_pasted_is_drawn_like_anything_else(served: Daemon) -> None:
    """A payload from the clipboard: into the filter, the command line, and onto no field at all."""
    payload = "".join(ATTACKS).replace("\x1b[201~", "").replace("\r", "").encode("utf-8")
    pasted = b"\x1b[200~PASTEQ" + payload.replace(b"\x1b", b"") + b"\x1b[201~"
    with terminal("ui", environ={"FLOWDAPT_HOME": str(served.home)}) as ours:
        ours.until(b"live")
        visit(ours, b"3", pasted, b"/", pasted, ENTER, ESCAPE, b":", pasted, ENTER, ESCAPE, ESCAPE)
        assert not_its_own(ours.wrote) == []
        ours.press(b"\x11")
        ours.end()


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_the_taker_apart_finds_each_attack(attack: str) -> None:
    """What looks for controls must see each of them, or it proves nothing."""
    wrote = b"\x1b[1;1H\x1b[38;2;8;8;8mERRORQ" + attack.encode() + b"\x1b[0m\r\n"
    tame = attack.startswith("[")
    assert bool(not_its_own(wrote) or "hi" in copied(wrote)) is not tame


def test_what_the_program_says_itself_is_known() -> None:
    clean = b"\x1b[?1049h\x1b[?25l\x1b[12;3H\x1b[1;38;2;8;8;8;48;5;8mwords \xe2\x9c\x94\x1b[0m\x1b]52;c;aGk=\x07"
    assert not_its_own(clean) == []
    assert json.dumps(copied(clean)) == '["hi"]'
