"""A real Chromium without a window, spoken to in its own debugging protocol over two pipes.

Debian's package, found on the machine: no wheel brings a browser.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.debian import find_program
from tests.waiting import eventually

# No sandbox: tests often run as root in a container, where it cannot be had.
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-default-apps", "--no-default-browser-check",
    "--remote-debugging-pipe", "--window-size=1000,700", "--lang=en-US", "about:blank",
)  # fmt: skip
# The protocol's pipes are descriptors 3 and 4 by convention.
ON_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
Message = dict[str, Any]


@dataclass
class Tab:
    """One page, and what it has asked the network for."""

    browser: Chromium
    target: str
    session: str
    context: str
    events: list[Message] = field(default_factory=list)

    def call(self, method: str, **given: Any) -> Message:
        return self.browser.call(method, self.session, **given)

    def go(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def value(self, script: str, *, waits: bool = False) -> Any:
        """Return what a script in the page yields."""
        found = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=waits,
            userGesture=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    @property
    def text(self) -> str:
        """The lines of the terminal, or of the page where there is none."""
        script = "[...document.querySelectorAll('.xterm-rows > div')].map(r => r.textContent).join('\\n')"
        shown = self.value(script) or self.value("document.body && document.body.innerText") or ""
        return str(shown).replace("\xa0", " ")

    def shows(self, word: str, timeout_s: float = 20.0) -> str:
        """Wait until the page shows a word; return all that it shows."""

        def looked() -> str:
            text = self.text
            return text if word in text else ""

        try:
            return eventually(looked, timeout_s=timeout_s)
        except AssertionError:
            raise AssertionError(
                f"{word!r} is not shown:\n{self.text}\n{self.complaints}"
            ) from None

    def type(self, text: str) -> None:
        for char in text:
            self.call("Input.dispatchKeyEvent", type="char", text=char)

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        given = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def of(self, method: str) -> list[Message]:
        """Return what happened of one kind, up to now."""
        self.browser.take_in(0.0)
        return [event["params"] for event in self.events if event["method"] == method]

    @property
    def addresses(self) -> list[str]:
        """Return every address that the page asked for."""
        asked = [event["request"]["url"] for event in self.of("Network.requestWillBeSent")]
        return asked + [event["url"] for event in self.of("Network.webSocketCreated")]

    @property
    def complaints(self) -> list[str]:
        """Return the errors of the page's scripts, and what its policy forbade."""
        raised = [str(event["exceptionDetails"]) for event in self.of("Runtime.exceptionThrown")]
        logged = [event["entry"] for event in self.of("Log.entryAdded")]
        return raised + [entry["text"] for entry in logged if entry["level"] == "error"]

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)
        self.browser.tabs.pop(self.session)


class Chromium:
    """One browser with a profile that is thrown away."""

    def __init__(self, asking: int, answering: int) -> None:
        self._asking, self._answering = asking, answering
        self._rest = b""
        self._number = 0
        self._answers: dict[int, Message] = {}
        self.tabs: dict[str, Tab] = {}

    def call(self, method: str, session: str = "", **given: Any) -> Message:
        """Ask the browser; return its answer, or fail with its error."""
        self._number += 1
        number = self._number
        message: Message = {"id": number, "method": method, "params": given}
        if session:
            message["sessionId"] = session
        os.write(self._asking, json.dumps(message).encode() + b"\0")
        self._until(lambda: number in self._answers, f"{method}: no answer")
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        found: Message = answer["result"]
        return found

    def open(self, address: str = "about:blank", context: str = "") -> Tab:
        where = {"browserContextId": context} if context else {}
        target = self.call("Target.createTarget", url="about:blank", **where)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self.tabs[session] = Tab(self, target, session, context)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.go(address)
        return tab

    def stranger(self) -> str:
        """Return a context that shares no cookie with others: another person's browser."""
        return str(self.call("Target.createBrowserContext")["browserContextId"])

    def take_in(self, timeout_s: float) -> None:
        """Read what the browser says within a time; sort answers from events."""
        while select.select([self._answering], [], [], timeout_s)[0]:
            piece = os.read(self._answering, 2**20)
            assert piece, "the browser has ended"
            *whole, self._rest = (self._rest + piece).split(b"\0")
            for message in map(json.loads, whole):
                self._sort(message)
            timeout_s = 0.0

    def _sort(self, message: Message) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
        elif tab := self.tabs.get(message.get("sessionId", "")):
            tab.events.append(message)

    def _until(self, reached: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not reached():
            assert time.monotonic() < deadline, what
            self.take_in(0.5)


@contextmanager
def running_chromium() -> Iterator[Chromium]:
    """Start a browser; end it and all its processes afterwards."""
    path = find_program("chromium", "chromium-browser", "google-chrome", package="chromium")
    folder = tempfile.mkdtemp(prefix="fd-chromium-")
    its_in, asking = os.pipe()
    answering, its_out = os.pipe()
    with (Path(folder) / "chromium.log").open("wb") as said:
        process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", "-c", ON_PIPES, str(its_in), str(its_out),
                path, f"--user-data-dir={folder}/profile", *FLAGS,
            ],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            pass_fds=(its_in, its_out), start_new_session=True,
            env=os.environ | {"HOME": folder, "LANG": "C.UTF-8"},
        )  # fmt: skip
    os.close(its_in)
    os.close(its_out)
    try:
        yield Chromium(asking, answering)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        os.close(asking)
        os.close(answering)
        shutil.rmtree(folder, ignore_errors=True)
