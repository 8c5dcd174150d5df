from __future__ import annotations

from datetime import timedelta

from flowdapt.tui.model.link import Banner, Link, LinkState, compatible
from tests.tui.fake import NOW


def a_link() -> Link:
    link = Link("0.2.0")
    link.greeted({"version": "0.2.3", "pid": 1}, NOW)
    return link


def test_a_daemon_that_was_never_there_is_told_as_none() -> None:
    link = Link("0.2.0")
    link.lost("nobody answers", NOW)
    assert link.state is LinkState.NONE
    banner = link.banner(NOW)
    assert banner is not None
    assert banner.text == "no daemon: nobody answers"


def test_a_live_connection_has_no_banner() -> None:
    link = a_link()
    assert link.live
    assert link.banner(NOW) is None


def test_a_lost_connection_reconnects_first_and_is_stale_later() -> None:
    link = a_link()
    link.lost("gone", NOW)
    assert link.state is LinkState.RECONNECTING
    assert not link.usable
    link.lost("gone", NOW + timedelta(seconds=11))
    assert link.state is LinkState.STALE
    banner = link.banner(NOW)
    assert banner is not None
    assert "12:00:00" in banner.text


def test_another_process_is_told_as_a_restart_for_a_moment() -> None:
    link = a_link()
    link.lost("gone", NOW)
    link.greeted({"version": "0.2.3", "pid": 2}, NOW)
    banner = link.banner(NOW)
    assert banner is not None
    assert "restarted" in banner.text
    assert link.banner(NOW + timedelta(minutes=1)) is None


def test_the_same_process_again_is_no_restart() -> None:
    link = a_link()
    link.lost("gone", NOW)
    link.greeted({"version": "0.2.3", "pid": 1}, NOW)
    assert link.banner(NOW) is None


def test_an_older_daemon_is_usable_and_told_with_the_way_out() -> None:
    link = Link("0.3.0")
    link.greeted({"version": "0.2.9", "pid": 1}, NOW)
    assert link.state is LinkState.OLDER
    assert link.usable
    banner = link.banner(NOW)
    assert banner is not None
    assert "older" in banner.text
    assert "flowdapt down && flowdapt up" in banner.text


def test_a_newer_daemon_asks_to_upgrade_this_one() -> None:
    link = Link("0.2.0")
    link.greeted({"version": "0.3.0", "pid": 1}, NOW)
    banner = link.banner(NOW)
    assert banner is not None
    assert "newer" in banner.text


def test_warnings_and_a_drain_stand_in_the_banner() -> None:
    link = a_link()
    link.greeted({"version": "0.2.0", "pid": 1, "warnings": ["only 3 MiB are free"]}, NOW)
    assert link.banner(NOW) == Banner("only 3 MiB are free", "warn")
    link.greeted({"version": "0.2.0", "pid": 1, "draining": True}, NOW)
    assert "about to end" in str(link.banner(NOW))


def test_patches_and_local_builds_of_a_version_fit() -> None:
    assert compatible("0.2.0", "0.2.7+local")
    assert not compatible("0.2.0", "0.3.0")
    assert not compatible("0.2.0", "")
