"""The server of the screens, met by browsers that keep to no rule."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.tui.web.served import SERVE, SHOWN, Served, serving
from tests.waiting import eventually


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture
def entered(served: Served) -> Served:
    served.enter()
    return served


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_it_listens_on_loopback_only(served: Served) -> None:
    own = psutil.Process(served.process.pid).net_connections(kind="inet")
    assert [(one.laddr.ip, one.laddr.port) for one in own] == [("127.0.0.1", served.port)]


def test_a_link_works_once(served: Served) -> None:
    assert served.ask(served.entrance).status == 200
    again = served.ask(served.entrance)
    assert again.status == 403
    assert "set-cookie" not in again.headers


def test_the_cookie_is_for_this_server_and_no_script(served: Served) -> None:
    cookie = served.ask(served.entrance).headers["set-cookie"]
    words = {word.strip().lower() for word in cookie.split(";")[1:]}
    assert words == {"httponly", f"path={served.place.lower()}", "samesite=strict"}


def test_a_browser_that_was_let_in_stays_in(entered: Served) -> None:
    assert entered.ask(entered.place, cookie=entered.cookie).status == 200
    assert entered.ask(entered.entrance, cookie=entered.cookie).status == 200


@pytest.mark.parametrize(
    "cookie", ["", "flowdapt-screens=", "flowdapt-screens=abc", "a=b;;;=", "x" * 9000]
)
def test_nobody_else_is_let_in(entered: Served, cookie: str) -> None:
    assert entered.ask(entered.place, cookie=cookie).status == 403


def test_a_browser_that_looks_ahead_does_not_use_the_link_up(served: Served) -> None:
    assert served.ask(served.entrance, sec_purpose="prefetch;prerender").status == 403
    assert served.ask(served.entrance).status == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:{port}", "localhost:1", "127.0.0.1.nip.io:{port}", "127.0.0.1:{port}|evil"],
)  # fmt: skip
def test_rows_1_and_2_other_names_are_turned_away_before_the_link_is_looked_at(
    served: Served, host: str
) -> None:
    refused = served.ask(served.entrance, host=host.format(port=served.port))
    assert refused.status in {400, 421}
    assert not [name for name in refused.headers if name.lower().startswith("access-control")]
    assert served.ask(served.entrance, host=f"LOCALHOST:{served.port}").status == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "null", "https://evil.example"])
def test_row_3_pages_of_others_are_turned_away(entered: Served, origin: str) -> None:
    for path in (entered.place, f"{entered.place}parts/screens.js"):
        assert entered.ask(path, origin=origin, cookie=entered.cookie).status == 403
    assert entered.line(origin=origin).status == 403


def test_row_3_a_line_without_an_origin_or_a_cookie_is_refused(entered: Served) -> None:
    assert entered.line(origin="").status == 403
    assert entered.line(cookie="").status == 403
    assert entered.line(cookie="flowdapt-screens=guess").status == 403
    assert entered.line(host="evil.example").status == 403
    assert entered.line().status == 101


def test_row_5_there_is_nothing_to_change(entered: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "X"):
        answer = entered.ask(entered.place, method, cookie=entered.cookie)
        assert answer.status == 405, method
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/{other}/", "{place}parts/../main.py", "{place}parts/%2e%2e/main.py",
             "{place}parts//etc/passwd", "{place}parts/page.html", "{place}parts/", "{place}terminal"],
)  # fmt: skip
def test_row_26_nothing_but_the_page_and_its_parts_is_there(entered: Served, path: str) -> None:
    path = path.format(place=entered.place, other="x" * 20)
    assert entered.ask(path, cookie=entered.cookie).status == 404


def test_the_page_may_load_its_own_parts_and_nothing_else(entered: Served) -> None:
    page = entered.ask(entered.place, cookie=entered.cookie)
    policy = dict(
        rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";")
    )
    nonce = policy["style-src"].split()[1]
    assert nonce.startswith("'nonce-")
    assert policy == {
        "default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
        "script-src": "'self'", "style-src": f"'self' {nonce}", "img-src": "data:",
        "connect-src": f"'self' ws://127.0.0.1:{entered.port}",
    }  # fmt: skip
    assert (
        nonce
        not in entered.ask(entered.place, cookie=entered.cookie).headers["content-security-policy"]
    ), "each page has its own"
    for name in ("x-frame-options", "cross-origin-opener-policy", "referrer-policy"):
        assert page.headers[name]
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "server" not in page.headers


def test_keys_and_output_travel_as_they_are(entered: Served) -> None:
    tab = entered.tab()
    tab.type("ä\x1b[A")
    tab.until(f"key {'ä'.encode() + bytes([27]) + b'[A'!r}")


def test_the_program_knows_what_terminal_it_has(entered: Served) -> None:
    tab = entered.tab(91, 33)
    tab.until("size 91x33.")
    tab.type("e")
    tab.until("xterm-256color truecolor tmux=None")
    tab.tell(type="resize", columns=120, rows=50)
    tab.until("size 120x50.")
    tab.tell(type="resize", columns=10**12, rows=-5)
    tab.until("size 1000x2.")


def test_each_tab_has_a_program_of_its_own_that_ends_with_it(entered: Served) -> None:
    one, other = entered.tab(), entered.tab()
    pids = one.pid(), other.pid()
    assert pids[0] != pids[1]
    one.leave()
    eventually(lambda: gone(pids[0]))
    assert not gone(pids[1])
    other.type("z")
    other.until("key b'z'")


def test_a_broken_line_finds_its_program_again_and_is_drawn_anew(entered: Served) -> None:
    tab = entered.tab(80, 24)
    pid, key = tab.pid(), tab.key
    tab.cut()
    again = entered.tab(90, 30, key)
    assert again.key == key
    again.until("size 90x29.")
    again.until("size 90x30.")
    assert again.output.startswith("\x18"), "what was cut off is not gone on with"
    assert again.pid() == pid


def test_a_line_that_is_not_known_to_be_broken_gives_way(entered: Served) -> None:
    """The way of a laptop that slept: the server still believes in the old line."""
    tab = entered.tab()
    pid = tab.pid()
    again = entered.tab(session=tab.key)
    assert again.pid() == pid


def test_what_is_written_while_nobody_looks_does_not_stop_the_program(entered: Served) -> None:
    tab = entered.tab()
    tab.pid()
    tab.type("f")
    tab.type("f")
    tab.cut()
    again = entered.tab(session=tab.key)
    again.pid()


def test_nobody_comes_back_in_time() -> None:
    with serving(absence_s=0.2) as server:
        server.enter()
        tab = server.tab()
        pid = tab.pid()
        tab.cut()
        eventually(lambda: gone(pid))
        again = server.line()
        again.tell(type="open", columns=80, rows=24, session=tab.key)
        assert again.until_told("session")["key"] != tab.key


def test_another_browser_cannot_take_a_tab_without_its_key(entered: Served) -> None:
    tab = entered.tab()
    pid = tab.pid()
    for guess in (None, "", "x", 5, {}):
        line = entered.line()
        line.tell(type="open", columns=80, rows=24, session=guess)
        line.until("size")
        assert line.pid() != pid
        line.leave()


def test_more_tabs_than_may_be_are_refused_and_an_absent_one_makes_room() -> None:
    with serving(most=2) as server:
        server.enter()
        one, other = server.tab(), server.tab()
        pid = one.pid()
        third = server.line()
        third.tell(type="open", columns=80, rows=24, session=None)
        assert "close one" in third.until_told("refused")["reason"]
        assert third.until_closed() == 1013
        one.cut()

        def let_in() -> bool:
            line = server.line()
            line.tell(type="open", columns=80, rows=24, session=None)
            while not line.told:
                line.take_in()
            return line.told[0]["type"] == "session"

        eventually(let_in)
        eventually(lambda: gone(pid))
        other.type("z")
        other.until("key b'z'")


def test_the_end_of_a_program_is_told(entered: Served) -> None:
    tab = entered.tab()
    tab.until("size")
    tab.type("q")
    assert tab.until_told("ended")["code"] == 3
    assert tab.until_closed() == 1000


def test_a_program_that_does_not_want_to_end_is_made_to() -> None:
    with serving(*SHOWN, "--stubborn") as server:
        server.enter()
        tab = server.tab()
        pid = tab.pid()
        tab.leave()
        eventually(lambda: gone(pid), timeout_s=15)


def test_a_program_that_cannot_be_started_is_told_as_ended() -> None:
    with serving("/nowhere/at-all") as server:
        server.enter()
        line = server.line()
        line.tell(type="open", columns=80, rows=24, session=None)
        assert line.until_told("ended")["code"] != 0


@pytest.mark.parametrize(
    "message",
    [
        "", "x", "[]", "5", "null", "[" * 100_000, '{"type": "open"}', '{"type": "open", "columns": "80", "rows": 24}',
        '{"type": "open", "columns": true, "rows": 24}', '{"type": "open", "columns": 1e3, "rows": 24}',
        '{"type": "resize", "columns": 80, "rows": 24}', '{"type": "open", "columns": NaN, "rows": 24}',
    ],
)  # fmt: skip
def test_a_page_that_breaks_the_rules_is_closed(entered: Served, message: str) -> None:
    line = entered.line()
    line.say(message)
    assert line.until_closed() == 1008
    tab = entered.tab()
    pid = tab.pid()
    if "resize" not in message:
        tab.say(message.replace("open", "resize"))
        assert tab.until_closed() == 1008
        eventually(lambda: gone(pid))


def test_bytes_in_place_of_the_first_words_are_closed(entered: Served) -> None:
    line = entered.line()
    line.type("hello")
    assert line.until_closed() == 1008


def test_a_message_without_end_is_closed(entered: Served) -> None:
    line = entered.line()
    line.say('{"type": "' + "x" * (2**20 + 1))
    assert line.until_closed() == 1009


def test_the_end_of_the_server_ends_every_program(entered: Served) -> None:
    one, other = entered.tab(), entered.tab()
    pids = one.pid(), other.pid()
    other.cut()
    assert entered.stop() == 0
    assert all(gone(pid) for pid in pids)
    assert one.until_closed() in {1000, 1006}


def test_a_killed_server_leaves_no_program_behind(entered: Served) -> None:
    pid = entered.tab().pid()
    entered.process.kill()
    eventually(lambda: gone(pid))
    entered.process.wait(10)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "flowdapt", "ui", "--web", "--port", str(port)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 78
    assert f"port {port} of 127.0.0.1" in done.stderr
    assert "[ui.port_taken]" in done.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "99999999999"])
def test_a_port_that_is_none_is_told(port: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowdapt", "ui", "--web", f"--port={port}"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert "[ui.port_taken]" in done.stderr


def test_enter_gives_another_link_and_ctrl_c_ends() -> None:
    leader, follower = pty.openpty()
    script = SERVE.format(most=2, absence_s=1.0)
    process = subprocess.Popen(
        [sys.executable, "-c", "import fcntl,termios;fcntl.ioctl(0,termios.TIOCSCTTY,0)\n" + script, *SHOWN],
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    try:
        said = read_until(leader, b"Ctrl-C: end.")
        assert said.count(b"http://127.0.0.1:") == 1
        os.write(leader, b"\n")
        assert b"?token=" in read_until(leader, b"?token=")
        os.write(leader, b"\x03")
        assert process.wait(15) == 0
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        os.close(leader)


def read_until(leader: int, word: bytes) -> bytes:
    said = b""
    while word not in said:
        assert select.select([leader], [], [], 20)[0], said
        said += os.read(leader, 65536)
    return said


def test_what_a_tab_runs_is_the_program_itself() -> None:
    from flowdapt.tui.web.main import PROGRAM

    done = subprocess.run(
        [*PROGRAM, "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    assert "--web" in done.stdout
    assert Path(PROGRAM[0]) == Path(sys.executable)
