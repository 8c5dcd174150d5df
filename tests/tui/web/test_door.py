from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from flowdapt.tui.web.door import MOST_BROWSERS, Door


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


def test_a_link_is_traded_for_a_cookie_once() -> None:
    door = Door(8000)
    token = token_of(door.new_link())
    cookie = door.redeem(token)
    assert cookie
    assert door.admits(cookie)
    assert door.redeem(token) is None


def test_a_new_link_voids_the_one_that_nobody_used() -> None:
    door = Door(8000)
    first, second = token_of(door.new_link()), token_of(door.new_link())
    assert door.redeem(first) is None
    assert door.redeem(second)


def test_a_new_link_throws_no_browser_out() -> None:
    door = Door(8000)
    cookie = door.redeem(token_of(door.new_link()))
    door.new_link()
    assert door.admits(cookie)


@pytest.mark.parametrize("guess", ["", " ", "é\ud800", "x" * 100_000, "0"])
def test_no_guess_is_let_in(guess: str) -> None:
    door = Door(8000)
    assert door.redeem(guess) is None, "before there is a link"
    door.new_link()
    assert door.redeem(guess) is None
    assert not door.admits(guess)
    assert not door.admits(None)


def test_secrets_are_long_random_and_of_one_server() -> None:
    one, other = Door(8000), Door(8000)
    assert one.place != other.place
    assert re.fullmatch(r"[\w-]{20}", one.place)
    assert len(token_of(one.new_link())) == 43
    cookie = one.redeem(token_of(one.new_link()))
    assert not other.admits(cookie)


def test_the_oldest_of_many_browsers_is_forgotten() -> None:
    door = Door(8000)
    cookies = [door.redeem(token_of(door.new_link())) for _ in range(MOST_BROWSERS + 1)]
    assert [door.admits(cookie) for cookie in cookies] == [False] + [True] * MOST_BROWSERS


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LocalHost:8000"])
def test_its_own_names_are_answered(host: str) -> None:
    assert Door(8000).is_addressed([host])
    assert Door(8000).is_own_page(f"http://{host.lower()}", host)


@pytest.mark.parametrize(
    "hosts",
    [
        [], ["evil.example:8000"], ["127.0.0.1"], ["localhost"], ["localhost:1"], ["127.0.0.1.nip.io:8000"],
        ["127.0.0.1:8000."], [" 127.0.0.1:8000"], ["0.0.0.0:8000"], ["[::1]:8000"], ["127.0.0.1:8000"] * 2,
        ["127.0.0.1:8000@evil.example"], ["2130706433:8000"],
    ],
)  # fmt: skip
def test_other_names_are_not_answered(hosts: list[str]) -> None:
    assert not Door(8000).is_addressed(hosts)


@pytest.mark.parametrize(
    "origin",
    [
        "", "null", "http://localhost:3000", "https://127.0.0.1:8000", "http://127.0.0.1",
        "http://localhost:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000.evil.example",
        "file://", "chrome-extension://abc",
    ],
)  # fmt: skip
def test_pages_of_others_are_not_its_own(origin: str) -> None:
    """Not even one that was loaded by the other name of this host."""
    assert not Door(8000).is_own_page(origin, "127.0.0.1:8000")
