"""Take the pictures of README and documentation: real screens of a real daemon that ran the demo.

`nox -s screens` runs this. What is drawn is what a person sees; only the daemon's home is the test's.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from flowdapt.client.transports import AsyncHttpxTransport
from flowdapt.paths import find_paths
from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.options import Options
from tests.e2e.shells import Shell, stage
from tests.tui.snapshots import normal, settled
from tests.tui.waiting import text_of, until

__all__ = ["take_pictures"]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
SIZE = (130, 32)
# What goes wrong in a way that a person can follow: the reading breaks at one place of many.
BROKEN = """
    def readings(upto: int = 24):
        return list(range(upto))

    def check(hour):
        if hour == 17:
            raise ValueError(f"hour {hour}: pressure is -3 hPa, which cannot be")
        print(f"hour {hour} is plausible")
        return hour
"""


def furnish(shell: Shell) -> dict[str, str]:
    """Run the demo, its training again and again, and something that fails; return the runs by what they show."""
    shell("demo", "-q", ok=True)
    for _ in range(4):
        shell("run", "weather_train", ok=True)
    shell.module("sensors", BROKEN)
    shell.apply(
        "check_sensors",
        stage("readings", "sensors.readings"),
        stage("check", "sensors.check", type="parameterized", depends_on=["readings"]),
    )
    shell("run", "check_sensors")
    found = shell.json("runs", "ls")["items"]
    return {one["workflow"]: one["uid"] for one in reversed(found)}


async def take_pictures(folder: Path, home: Path, runs: dict[str, str]) -> None:
    """Write one picture for each screen that the pages show."""
    socket = str(find_paths({"FLOWDAPT_HOME": str(home)}).socket)
    app = FlowdaptApp(lambda: AsyncHttpxTransport(socket), options=Options())
    train, failed = runs["weather_train"], runs["check_sensors"]
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.link.live, within_s=20)
        await _take(pilot, folder, "pulse", "weather_train")
        app.show_view("runs")
        await _take(pilot, folder, "runs", "weather_")
        for name, uid, tab, word, *keys in (
            ("chart", train, "gantt", "train_model", "j", "j"),
            ("metrics", train, "metrics", "model_mae", "G"),
            ("error", failed, "error", "cannot be"),
            ("log", failed, "logs", "plausible"),
        ):
            app.open_detail("run", uid, tab)
            await _take(pilot, folder, name, word, *keys)
            app.pop_screen()
        assert app.faults == [], app.faults


async def _take(pilot: Pilot[Any], folder: Path, name: str, word: str, *keys: str) -> None:
    await until(pilot, lambda: word in text_of(pilot), within_s=20)
    await pilot.press(*keys)
    await settled(pilot)
    drawn = normal(pilot.app.export_screenshot(title="flowdapt"))
    # The font is the reader's own: a picture asks nobody for anything.
    drawn = drawn.replace("Fira Code", "ui-monospace, DejaVu Sans Mono, Menlo, Consolas")
    elsewhere = re.search(r"https?://(?!www\.w3\.org|www\.textualize\.io)[^\s\"<]+", drawn)
    assert elsewhere is None, (name, elsewhere)
    (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")


def main() -> None:
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    shell = Shell(folder / "home")
    FOLDER.mkdir(exist_ok=True)
    try:
        asyncio.run(take_pictures(FOLDER, shell.home, furnish(shell)))
    finally:
        shell("down", "--now", "--timeout", "20")
        shutil.rmtree(folder, ignore_errors=True)
    taken = len(list(FOLDER.glob("*.svg")))
    sys.stdout.write(f"{taken} pictures in {FOLDER} after {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
