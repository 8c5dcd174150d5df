"""The logs of runs: taken at once, found again, bounded, mended after a kill."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from flowdapt.domain.errors import InvalidInput, InvalidName
from flowdapt.domain.task import LogLine
from flowdapt.ports.logs import LogQuery
from flowdapt.stores import log_files
from flowdapt.stores.log_files import RECORD
from flowdapt.stores.logs import FileLogStore
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flowdapt.ports.logs import LogPage

pytestmark = pytest.mark.trio
RUN = "a" * 32


@contextmanager
def opened(root: Path, **options: int) -> Iterator[FileLogStore]:
    store = FileLogStore(root, **options)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[FileLogStore]:
    with opened(tmp_path) as store:
        yield store


def line(text: str, *, level: str = "info", index: int | None = None) -> LogLine:
    return LogLine(1_790_000_000.5, "stdout", level, text, index, "")


def lines(*texts: str) -> list[LogLine]:
    return [line(text) for text in texts]


def texts(page: LogPage) -> list[str]:
    return [stored.line.text for stored in page.lines]


def numbers(page: LogPage) -> list[int]:
    return [stored.number for stored in page.lines]


async def read(logs: FileLogStore, run: str = RUN, **query) -> LogPage:
    await logs.flush(run)
    return await logs.read(run, LogQuery(**query))


# --- there and back -------------------------------------------------------------------------------


async def test_lines_come_back_as_they_were(logs) -> None:
    given = [
        LogLine(1.5, "stdout", "info", "hello", None, ""),
        LogLine(2.5, "log", "error", "grüße \t\x00\x1b[31m", 7, "my.logger"),
        LogLine(3.5, "stderr", "warning", "", 0, ""),
    ]
    logs.append(RUN, "fit", 2, given)
    page = await read(logs)
    assert [stored.line for stored in page.lines] == given
    assert numbers(page) == [1, 2, 3]
    assert {(stored.stage, stored.attempt) for stored in page.lines} == {("fit", 2)}
    assert (page.next_after, page.truncated) == (3, False)


async def test_an_unknown_run_has_no_lines(logs) -> None:
    page = await read(logs, after=5)
    assert (page.lines, page.next_after) == ([], 5)


async def test_runs_do_not_meet(logs) -> None:
    logs.append("one", "fit", 1, lines("a"))
    logs.append("two", "fit", 1, lines("b"))
    assert texts(await read(logs, "one")) == ["a"]
    assert texts(await read(logs, "two")) == ["b"]


async def test_a_line_with_newlines_inside_is_several(logs) -> None:
    logs.append(RUN, "fit", 1, lines("a\nb", "c"))
    page = await read(logs)
    assert texts(page) == ["a", "b", "c"]
    assert numbers(page) == [1, 2, 3]


async def test_text_that_is_no_utf8_is_kept_readable(logs) -> None:
    logs.append(RUN, "fit", 1, lines("a\udc80b"))
    assert texts(await read(logs)) == ["a\\udc80b"]


async def test_an_endless_line_is_cut(logs) -> None:
    logs.append(RUN, "fit", 1, lines("x" * 10_000_000, "next"))
    first, second = texts(await read(logs))
    assert len(first) < 300_000
    assert first.endswith("more bytes")
    assert second == "next"


async def test_appended_lines_are_soon_readable_without_a_flush(logs) -> None:
    logs.append(RUN, "fit", 1, lines("a"))
    with trio.fail_after(5):
        start = trio.current_time()
        while not (await logs.read(RUN, LogQuery())).lines:  # noqa: ASYNC110  (nothing rings)
            await trio.sleep(0.01)
    assert trio.current_time() - start < 0.5


async def test_appending_does_not_wait_for_the_disk(logs, monkeypatch) -> None:
    def slow(handle: int, content: bytes) -> None:
        time.sleep(0.3)
        os.write(handle, content)

    monkeypatch.setattr(log_files, "_write_all", slow)
    start = time.perf_counter()
    for number in range(1000):
        logs.append(RUN, "fit", 1, lines(str(number)))
    assert time.perf_counter() - start < 0.25
    monkeypatch.undo()
    assert len((await read(logs)).lines) == 1000


async def test_the_text_file_is_plain_text(logs, tmp_path: Path) -> None:
    logs.append(RUN, "fit", 1, lines("one", "zwei ü"))
    await logs.flush(RUN)
    assert (tmp_path / RUN / "log.text").read_text() == "one\nzwei ü\n"


async def test_files_are_private(logs, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        logs.append(RUN, "fit", 1, lines("a"))
        await logs.flush(RUN)
    finally:
        os.umask(before)
    found = list((tmp_path / RUN).iterdir())
    assert len(found) == 3
    for path in [tmp_path / RUN, *found]:
        assert path.stat().st_mode & 0o077 == 0, path


# --- questions ------------------------------------------------------------------------------------


@pytest.fixture
async def mixed(logs) -> FileLogStore:
    """Lines 1-40: stages a and b in turn, every fourth a warning, every eighth an error, of items 0-9."""
    for number in range(1, 41):
        level = "error" if number % 8 == 0 else "warning" if number % 4 == 0 else "info"
        stage = "a" if number % 2 else "b"
        text = f"line {number} of {stage}"
        logs.append(RUN, stage, 1 + number // 21, [line(text, level=level, index=number % 10)])
    await logs.flush(RUN)
    return logs


async def test_a_page_goes_on_where_the_last_one_ended(mixed) -> None:
    first = await read(mixed, limit=15)
    second = await read(mixed, limit=15, after=first.next_after)
    third = await read(mixed, limit=15, after=second.next_after)
    fourth = await read(mixed, limit=15, after=third.next_after)
    assert numbers(first) + numbers(second) + numbers(third) == list(range(1, 41))
    assert (numbers(fourth), fourth.next_after) == ([], 40)


async def test_a_tail_is_the_last_lines_in_order(mixed) -> None:
    page = await read(mixed, tail=True, limit=3)
    assert (numbers(page), page.next_after) == ([38, 39, 40], 40)


async def test_a_tail_scrolls_back(mixed) -> None:
    page = await read(mixed, tail=True, limit=3, before=38)
    assert numbers(page) == [35, 36, 37]
    assert numbers(await read(mixed, tail=True, limit=3, before=3)) == [1, 2]
    assert numbers(await read(mixed, tail=True, before=1)) == []


async def test_lines_between_two_numbers(mixed) -> None:
    assert numbers(await read(mixed, after=5, before=9)) == [6, 7, 8]
    assert numbers(await read(mixed, after=5, before=500))[0] == 6
    assert numbers(await read(mixed, after=500)) == []


async def test_lines_are_chosen_by_stage_level_attempt_and_item(mixed) -> None:
    assert numbers(await read(mixed, stage="b", limit=3)) == [2, 4, 6]
    assert numbers(await read(mixed, min_level="error")) == [8, 16, 24, 32, 40]
    assert numbers(await read(mixed, min_level="WARNING", limit=3)) == [4, 8, 12]
    assert numbers(await read(mixed, attempt=2))[0] == 21
    assert numbers(await read(mixed, index=3)) == [3, 13, 23, 33]
    assert numbers(await read(mixed, stage="a", index=3, attempt=1)) == [3, 13]
    assert numbers(await read(mixed, stage="b", min_level="error", tail=True, limit=2)) == [32, 40]
    assert numbers(await read(mixed, stage="nowhere")) == []


async def test_a_reading_that_found_nothing_goes_on_at_the_end(mixed) -> None:
    assert (await read(mixed, stage="nowhere")).next_after == 40
    assert (await read(mixed, grep="nothing like it")).next_after == 40


async def test_a_level_that_nobody_knows_counts_as_info(logs) -> None:
    logs.append(RUN, "fit", 1, [line("a", level="trace"), line("b", level="")])
    assert len((await read(logs, min_level="info")).lines) == 2
    assert len((await read(logs, min_level="warning")).lines) == 0


async def test_an_expression_finds_lines(mixed) -> None:
    assert numbers(await read(mixed, grep=r"line 1\d of")) == list(range(10, 20))
    assert numbers(await read(mixed, grep=r"^line 7 ")) == [7]
    assert numbers(await read(mixed, grep=r"of a$", limit=2)) == [1, 3]
    assert numbers(await read(mixed, grep="(?i)LINE 5 ")) == [5]
    assert numbers(await read(mixed, grep="line 5 |line 9 ")) == [5, 9]
    assert numbers(await read(mixed, grep="")) == list(range(1, 41))


async def test_an_expression_is_searched_within_one_stage(mixed) -> None:
    assert numbers(await read(mixed, grep="line 1", stage="b")) == [10, 12, 14, 16, 18]
    assert numbers(await read(mixed, grep="line 1", stage="b", tail=True, limit=2)) == [16, 18]


@pytest.mark.parametrize(
    "grep", [r"a\nb", r"a[^x]b", r"(?s)a.b", r"a\sb", r"(?s)a.*b", r"\Ab\z", r"\Aa", r"b\z", "^$"]
)
async def test_a_match_never_spans_two_lines(logs, grep: str) -> None:
    logs.append(RUN, "fit", 1, lines("a", "b", "xa", "bx", ""))
    expected = {r"\Ab\z": [2], r"\Aa": [1], r"b\z": [2], "^$": [5]}.get(grep, [])
    assert numbers(await read(logs, grep=grep)) == expected


async def test_lines_after_one_that_matched_in_vain_are_found(logs) -> None:
    logs.append(RUN, "fit", 1, lines("a", "axb", "b", "a", "", "axb"))
    assert numbers(await read(logs, grep=r"a[^y]+b")) == [2, 6]


async def test_hits_come_with_the_lines_around_them(mixed) -> None:
    assert numbers(await read(mixed, grep="line (3|20) ", context=2)) == [
        1, 2, 3, 4, 5, 18, 19, 20, 21, 22,
    ]  # fmt: skip
    assert numbers(await read(mixed, grep="line 20 ", context=2, stage="b")) == [16, 18, 20, 22, 24]
    assert numbers(await read(mixed, grep="line 40 ", context=1)) == [39, 40]


async def test_an_expression_works_on_text_that_is_not_ascii(logs) -> None:
    logs.append(RUN, "fit", 1, lines("größe 5", "grosse 5"))
    assert numbers(await read(logs, grep="gr.ße")) == [1]


@pytest.mark.parametrize(
    "grep", ["(", "[", "a{1001}{1001}", r"(?=a)", r"(a)\1", "x" * 1001, "\udc80"]
)
async def test_a_bad_expression_is_refused(logs, grep: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await read(logs, grep=grep)
    assert "(?m)" not in caught.value.message


@pytest.mark.parametrize("grep", ["(a+)+$", "(a|a)*b", "(.*)*x", "a{0,500}a{0,500}b"])
async def test_a_catastrophic_expression_takes_no_longer(logs, grep: str) -> None:
    logs.append(RUN, "fit", 1, lines(*["a" * 50_000 + "!"] * 20))
    await logs.flush(RUN)
    start = time.perf_counter()
    await read(logs, grep=grep)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 10**9}, {"context": -1}, {"context": 10**6}, {"min_level": "loud"}],
)
async def test_a_question_out_of_bounds_is_refused(logs, query) -> None:
    with pytest.raises(InvalidInput):
        await read(logs, **query)


@pytest.mark.parametrize("run", ["../x", "", "a/b", "."])
async def test_a_run_that_is_no_name_is_refused(logs, run: str) -> None:
    with pytest.raises(InvalidName):
        await logs.read(run, LogQuery())
    with pytest.raises(InvalidName):
        await logs.delete(run)


# --- bounds and faults ----------------------------------------------------------------------------


async def test_over_the_cap_a_mark_comes_once_and_then_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, cap_bytes=10_000) as logs:
        for number in range(100):
            logs.append(RUN, "fit", 1, lines(f"{number} " + "x" * 300))
        page = await read(logs)
        assert page.truncated
        assert texts(page)[0].startswith("0 ")
        assert texts(page)[-1] == "the log is over 10000 bytes: what follows is not kept"
        logs.append(RUN, "fit", 1, lines("later"))
        assert numbers(await read(logs)) == numbers(page)
    assert sum(path.stat().st_size for path in (tmp_path / RUN).iterdir()) < 11_000
    with opened(tmp_path, cap_bytes=10_000) as again:
        again.append(RUN, "fit", 1, lines("after a restart"))
        assert numbers(await read(again)) == numbers(page)


async def test_the_cap_holds_for_each_run_by_itself(tmp_path: Path) -> None:
    with opened(tmp_path, cap_bytes=1000) as logs:
        logs.append("one", "fit", 1, lines("x" * 2000))
        logs.append("two", "fit", 1, lines("short"))
        assert (await read(logs, "one")).truncated
        assert not (await read(logs, "two")).truncated


async def test_lines_that_come_faster_than_the_disk_are_counted(
    tmp_path: Path, monkeypatch
) -> None:
    gate = trio.Event()
    write = log_files._write_all

    def stuck(handle: int, content: bytes) -> None:
        while not gate.is_set():
            time.sleep(0.005)
        write(handle, content)

    monkeypatch.setattr(log_files, "_write_all", stuck)
    with opened(tmp_path, pending_max_bytes=100_000) as logs:
        for _ in range(1000):
            logs.append(RUN, "fit", 1, lines("x" * 1000))
        gate.set()
        found = texts(await read(logs))
        kept = found.count("x" * 1000)
        assert 50 <= kept < 100
        assert f"{1000 - kept} lines came faster than the disk took them" in found[-1]


async def test_without_room_the_log_is_cut_with_a_mark_and_goes_on(logs, monkeypatch) -> None:
    logs.append(RUN, "fit", 1, lines("before"))
    await logs.flush(RUN)
    write = log_files._write_all

    def full(handle: int, content: bytes) -> None:
        write(handle, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log_files, "_write_all", full)
    logs.append(RUN, "fit", 1, lines("lost", "lost too"))
    await logs.flush(RUN)
    assert texts(await read(logs)) == ["before"]
    monkeypatch.undo()
    logs.append(RUN, "fit", 1, lines("after"))
    page = await read(logs)
    assert texts(page) == ["before", "2 lines were lost: the disk was full", "after"]
    assert numbers(page) == [1, 2, 3]


async def test_a_folder_that_cannot_be_made_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with opened(tmp_path / "file") as logs:
        logs.append(RUN, "fit", 1, lines("a"))
        await logs.flush(RUN)
        with pytest.raises(OSError, match="Not a directory"):
            await logs.read(RUN, LogQuery())


async def test_a_line_that_cannot_be_written_costs_itself_alone(logs) -> None:
    logs.append(RUN, "fit", -5, lines("an attempt that is no attempt"))
    logs.append(RUN, "fit", 1, [line("an item out of range", index=2**40)])
    await logs.flush(RUN)
    logs.append(RUN, "fit", 1, lines("after"))
    assert texts(await read(logs))[-1] == "after"


async def test_deleting_forgets_the_run_and_its_folder(logs, tmp_path: Path) -> None:
    logs.append(RUN, "fit", 1, lines("a"))
    await logs.flush(RUN)
    await logs.delete(RUN)
    assert (await read(logs)).lines == []
    assert not (tmp_path / RUN).exists()
    await logs.delete(RUN)
    await logs.delete("unknown")


async def test_late_lines_do_not_bring_a_deleted_run_back(logs, tmp_path: Path) -> None:
    logs.append(RUN, "fit", 1, lines("a"))
    await logs.delete(RUN)
    logs.append(RUN, "fit", 1, lines("late"))
    await logs.flush(RUN)
    assert not (tmp_path / RUN).exists()


async def test_deleting_leaves_what_others_keep_in_the_folder(logs, tmp_path: Path) -> None:
    logs.append(RUN, "fit", 1, lines("a"))
    await logs.flush(RUN)
    (tmp_path / RUN / "result.json").write_text("1")
    await logs.delete(RUN)
    assert [path.name for path in (tmp_path / RUN).iterdir()] == ["result.json"]


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    logs = FileLogStore(tmp_path)
    logs.append(RUN, "fit", 1, lines("a"))
    logs.close()
    logs.close()
    with opened(tmp_path) as again:
        assert texts(await read(again)) == ["a"]


async def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    for text in ("a", "b", "c"):
        with opened(tmp_path) as logs:
            logs.append(RUN, "fit", 1, lines(text))
            page = await read(logs)
    assert (texts(page), numbers(page)) == (["a", "b", "c"], [1, 2, 3])


TORN = {
    "half a record": ("log.index", lambda content: content + b"\x00" * 10),
    "text without a record": ("log.text", lambda content: content + b"half a li"),
    "a record without its text": ("log.text", lambda content: content[:-5]),
    "half a head": ("log.heads", lambda content: content + b'["fi'),
    "zeros after a power cut": ("log.index", lambda content: content + b"\x00" * RECORD.size * 3),
    "zeros for a head": ("log.heads", lambda content: content + b"\x00\x00\n"),
}


@pytest.mark.parametrize("damage", TORN)
async def test_what_a_kill_left_half_written_is_mended(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path) as logs:
        logs.append(RUN, "fit", 1, lines("one", "two", "three"))
    name, spoil = TORN[damage]
    path = tmp_path / RUN / name
    path.write_bytes(spoil(path.read_bytes()))
    with opened(tmp_path) as logs:
        assert texts(await read(logs))[:2] == ["one", "two"]
        logs.append(RUN, "fit", 1, lines("four"))
        logs.append(RUN, "other", 1, lines("five"))
        page = await read(logs)
    expected = ["one", "two", "three", "four", "five"]
    if damage == "a record without its text":
        expected.remove("three")
    assert texts(page) == expected
    assert numbers(page) == list(range(1, len(expected) + 1))
    assert [stored.stage for stored in page.lines][-2:] == ["fit", "other"]


async def test_a_killed_writer_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from flowdapt.domain.task import LogLine
from flowdapt.stores.logs import FileLogStore
logs = FileLogStore(Path({str(tmp_path)!r}))
print("up", flush=True)
n = 0
while True:
    logs.append({RUN!r}, "fit", 1, [LogLine(0.0, "log", "info", f"{{n}} " + "x" * (n % 977))])
    n += 1
"""
    index = tmp_path / RUN / "log.index"
    for _ in range(3):
        before = index.stat().st_size if index.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        eventually(lambda: index.exists() and index.stat().st_size > before + 100_000)  # noqa: B023
        process.kill()
        process.wait()
        process.stdout.close()
    with opened(tmp_path) as logs:
        logs.append(RUN, "fit", 1, lines("the end"))
        page = await read(logs, limit=100_000, tail=True)
    found = [text.split(" ", 1) for text in texts(page)[:-1]]
    assert texts(page)[-1] == "the end"
    for number, rest in found:
        if number.isdigit():
            assert rest == "x" * (int(number) % 977)
    wanted = list(range(numbers(page)[0], numbers(page)[-1] + 1))
    assert numbers(page) == wanted


# --- size -----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_million_lines_are_paged_and_searched_at_once(tmp_path: Path) -> None:
    with opened(tmp_path, pending_max_bytes=1 << 40) as logs:
        for start in range(0, 1_000_000, 10_000):
            logs.append(
                RUN, "fit" if start % 20_000 else "score", 1,
                [line(f"epoch {n} loss={n % 1013 / 7:.5f} some more words") for n in range(start, start + 10_000)],
            )  # fmt: skip
        await logs.flush(RUN)

        async def timed(**query) -> tuple[LogPage, float]:
            """Return the page and the time that it took, the best of three."""
            best = math.inf
            for _ in range(3):
                start = time.perf_counter()
                page = await logs.read(RUN, LogQuery(**query))
                best = min(best, time.perf_counter() - start)
            return page, best

        page, took = await timed(tail=True, limit=1000)
        assert numbers(page) == list(range(999_001, 1_000_001))
        assert took < 0.5
        page, took = await timed(after=500_000, limit=1000)
        assert numbers(page)[0] == 500_001
        assert took < 0.5
        for grep in ("epoch 999999 ", r"^epoch \d+99999 ", "nowhere to be found"):
            page, took = await timed(grep=grep, context=2)
            assert (999_999 + 1 in numbers(page)) == grep.startswith(("epoch", "^"))
            assert took < 1.0, grep
        page, took = await timed(grep="epoch 5 ", stage="score", tail=True)
        assert texts(page) == ["epoch 5 loss=0.71429 some more words"]
        assert took < 1.0
        page, took = await timed(stage="score", min_level="error")
        assert (page.lines, page.next_after) == ([], 1_000_000)
        assert took < 1.0
