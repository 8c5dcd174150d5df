"""The page in a real Chromium: drawn, typed at, resized, cut off, and asking nobody but its server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from tests.tui.web.chromium import Chromium, Tab, running_chromium
from tests.tui.web.served import Served, serving
from tests.waiting import eventually

pytestmark = pytest.mark.slow
CONTROL = 2


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture
def tab(chromium: Chromium, served: Served) -> Iterator[Tab]:
    """Give the test a tab that came in by the link, in a browser of its own."""
    tab = chromium.open(served.link, chromium.stranger())
    tab.shows("size")
    yield tab
    tab.close()


def pid_of(tab: Tab) -> int:
    tab.call("Page.bringToFront")  # a tab behind another is not drawn
    tab.type("i")
    found = eventually(lambda: re.findall(r"pid=(\d+);", tab.text))
    return int(found[-1])


def size_of(tab: Tab) -> tuple[int, int]:
    columns, rows = re.findall(r"size (\d+)x(\d+)\.", tab.text)[-1]
    return int(columns), int(rows)


def test_the_page_draws_what_the_program_writes_and_no_policy_stops_it(tab: Tab) -> None:
    tab.type("x")
    tab.shows("colour")
    colours = tab.value(
        "[...document.querySelectorAll('.xterm-rows span')].filter(s => s.textContent == 'colour')"
        ".map(s => getComputedStyle(s).color)"
    )
    assert colours == ["rgb(1, 2, 3)"]
    rows = tab.value("getComputedStyle(document.querySelector('.xterm-rows > div')).overflow")
    assert rows == "hidden", "the terminal's own style sheet counts"
    assert tab.complaints == []


def test_underscores_are_not_cut_off(tab: Tab) -> None:
    """Names are full of them: they lie lowest, and a row that is a little too low hides them."""
    tab.type("u")
    tab.shows("under")
    row = tab.value(
        "[...document.querySelectorAll('.xterm-rows > div')]"
        ".find(r => r.textContent.startsWith('____')).getBoundingClientRect().toJSON()"
    )
    width = 4 * tab.value("document.querySelector('.xterm-rows').clientWidth") / size_of(tab)[0]
    place = {"y": row["y"], "width": width, "height": row["height"], "scale": 1}
    under, blank = (
        tab.call("Page.captureScreenshot", clip=place | {"x": at})["data"]
        for at in (row["x"], row["x"] + width)
    )
    assert under != blank


def test_no_request_leaves_for_another_server(tab: Tab, served: Served) -> None:
    pid_of(tab)
    places = {urlsplit(address).netloc for address in tab.addresses}
    assert places == {f"127.0.0.1:{served.port}"}
    assert [address for address in tab.addresses if address.startswith("ws:")]


def test_the_link_is_taken_out_of_the_address_and_of_the_history(tab: Tab, served: Served) -> None:
    assert tab.value("location.href") == f"http://127.0.0.1:{served.port}{served.place}"
    history = tab.call("Page.getNavigationHistory")["entries"]
    assert not [one for one in history if "token" in one["url"]]


def test_the_cookie_is_not_to_be_read_by_a_script(tab: Tab) -> None:
    assert tab.value("document.cookie") == ""
    cookies = tab.call("Network.getCookies")["cookies"]
    assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]


def test_the_second_use_of_a_link_is_refused(chromium: Chromium, tab: Tab, served: Served) -> None:
    other = chromium.open(served.link, chromium.stranger())
    assert "has been used" in other.shows("Each link works once")
    other.close()


def test_a_page_of_another_server_cannot_open_a_line(
    chromium: Chromium, tab: Tab, served: Served
) -> None:
    """From the very browser that holds the cookie, by a page on another port of this host."""
    with serving() as other:
        foreign = chromium.open(other.link, tab.context)
        foreign.shows("size")
        foreign.call("Page.setBypassCSP", enabled=True)
        foreign.go(f"http://127.0.0.1:{other.port}{other.place}")
        foreign.shows("size")
        address = f"127.0.0.1:{served.port}{served.place}"
        opened = foreign.value(
            f"new Promise(r => {{ const w = new WebSocket('ws://{address}terminal');"
            "w.onopen = () => r('open'); w.onerror = () => r('refused'); })",
            waits=True,
        )
        assert opened == "refused"
        read = foreign.value(
            f"fetch('http://{address}', {{credentials: 'include'}}).then(r => 'read', e => 'refused')",
            waits=True,
        )
        assert read == "refused"
        framed = foreign.value(
            "new Promise(r => { const f = document.createElement('iframe');"
            f"f.src = 'http://{address}'; f.onload = () => {{ try {{ r(f.contentDocument ? 'read' : 'refused') }}"
            "catch { r('refused') } }; document.body.append(f); })",
            waits=True,
        )
        assert framed == "refused"
        foreign.close()


def test_keys_arrive_as_they_are_typed(tab: Tab) -> None:
    tab.type("z")
    tab.shows("key b'z'")
    tab.type("ä")
    tab.shows(f"key {'ä'.encode()!r}")
    tab.press("ArrowUp", 38)
    tab.shows(r"key b'\x1b[A'")
    tab.press("p", 80, CONTROL)
    tab.shows(r"key b'\x10'")
    tab.press("Escape", 27)
    tab.shows(r"key b'\x1b'")


def test_a_click_arrives_where_the_program_asked_for_the_mouse(tab: Tab) -> None:
    tab.type("m")
    tab.shows("mouse")
    tab.click(40, 30)
    tab.shows(r"key b'\x1b[<0;")


def test_a_link_opens_a_tab_of_its_own_and_only_to_the_web(chromium: Chromium, tab: Tab) -> None:
    tab.type("l")
    tab.shows("LINK BAIT")
    row = tab.value(
        "[...document.querySelectorAll('.xterm-rows > div')]"
        ".find(r => r.textContent.startsWith('LINK')).getBoundingClientRect().toJSON()"
    )
    cell = tab.value("document.querySelector('.xterm-rows').clientWidth") / size_of(tab)[0]

    def click_at(column: int) -> set[str]:
        x, y = row["x"] + (column + 0.5) * cell, row["y"] + row["height"] / 2
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        tab.click(x, y)
        found = chromium.call("Target.getTargets")["targetInfos"]
        return {one["url"] for one in found if one["browserContextId"] == tab.context}

    known = click_at(6)
    assert not [url for url in known if url.startswith("javascript")]
    eventually(lambda: "http://127.0.0.1:9/there" in click_at(1))
    assert tab.complaints == []


def test_the_size_of_the_window_is_the_size_of_the_terminal(tab: Tab) -> None:
    before = size_of(tab)
    tab.resize(600, 300)
    eventually(lambda: size_of(tab) < before)
    small = size_of(tab)
    tab.resize(1400, 900)
    eventually(lambda: size_of(tab) > before)
    assert size_of(tab)[1] > small[1]


def test_a_program_copies_and_never_reads_the_clipboard(chromium: Chromium, tab: Tab) -> None:
    chromium.call(
        "Browser.grantPermissions",
        permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        browserContextId=tab.context,
    )
    tab.call("Page.bringToFront")
    tab.type("c")
    tab.shows("copied")
    copied = eventually(lambda: tab.value("navigator.clipboard.readText()", waits=True))
    assert copied == "copied ✔"
    tab.type("?")
    tab.shows("asked")
    tab.type("z")
    assert "]52" not in tab.shows("key b'z'")


def test_what_is_pasted_cannot_press_keys(tab: Tab) -> None:
    tab.type("p")
    tab.shows("pasting")
    tab.value(
        "{ const data = new DataTransfer(); data.setData('text/plain', 'one\\x1b[201~q\\x9b\\u202e two');"
        "document.querySelector('textarea').dispatchEvent("
        "new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})); }"
    )
    tab.shows(r"\x1b[200~one[201~q two\x1b[201~")


def test_the_title_follows_the_program(tab: Tab) -> None:
    tab.type("t")
    tab.shows("titled")
    assert tab.value("document.title") == "a title"


def test_a_tab_that_is_closed_ends_its_program_and_no_other(
    chromium: Chromium, served: Served
) -> None:
    context = chromium.stranger()
    one = chromium.open(served.link, context)
    one.shows("size")
    other = chromium.open(f"http://127.0.0.1:{served.port}{served.place}", context)
    other.shows("size")
    pids = pid_of(one), pid_of(other)
    assert pids[0] != pids[1]
    one.close()
    eventually(lambda: not psutil.pid_exists(pids[0]), what="the program of the closed tab")
    other.call("Page.bringToFront")
    other.type("z")
    other.shows("key b'z'")
    other.close()


def test_a_reload_starts_anew(tab: Tab) -> None:
    pid = pid_of(tab)
    tab.call("Page.reload")
    eventually(lambda: not psutil.pid_exists(pid))
    tab.shows("size")
    assert pid_of(tab) != pid


def test_a_broken_line_is_mended_by_itself(tab: Tab) -> None:
    """The page's socket is cut under it, without a word to the server; the same program goes on."""
    pid = pid_of(tab)
    kind = tab.call("Runtime.evaluate", expression="WebSocket.prototype")["result"]["objectId"]
    found = tab.call("Runtime.queryObjects", prototypeObjectId=kind)["objects"]["objectId"]
    cut = "function () { this.forEach((line) => line.close()); return this.length; }"
    done = tab.call(
        "Runtime.callFunctionOn", objectId=found, functionDeclaration=cut, returnByValue=True
    )
    assert done["result"]["value"] == 1
    eventually(lambda: len(tab.of("Network.webSocketCreated")) == 2)
    eventually(lambda: tab.value("document.getElementById('notice').hidden"))
    assert pid_of(tab) == pid


def test_the_end_of_a_program_is_said_and_enter_opens_it_again(tab: Tab) -> None:
    pid = pid_of(tab)
    tab.type("q")
    notice = "document.getElementById('notice').textContent"
    eventually(lambda: "Enter opens them again" in tab.value(notice))
    tab.press("Enter", 13)
    tab.shows("size")
    assert pid_of(tab) != pid
    assert tab.value("document.getElementById('notice').hidden")


def test_a_server_that_has_ended_is_said(chromium: Chromium, served: Served) -> None:
    tab = chromium.open(served.link, chromium.stranger())
    tab.shows("size")
    assert served.stop() == 0
    words = eventually(lambda: tab.value("document.getElementById('notice').textContent"))
    assert "closed" in words or "broken" in words
    tab.close()
