"""Settings: where they come from, which one wins, and what is refused with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowdapt.domain.errors import StartRefused
from flowdapt.paths import SOCKET_PATH_MAX_BYTES, ensure_private_directory, find_paths
from flowdapt.settings import load_settings


def write(home: Path, text: str) -> None:
    (home / "config.toml").write_text(text)


def refusal(**overrides: object) -> StartRefused:
    with pytest.raises(StartRefused) as caught:
        load_settings(overrides=overrides)
    return caught.value


def test_a_home_holds_everything(flowdapt_home: Path) -> None:
    paths = find_paths()
    assert {paths.config, paths.data} == {flowdapt_home}
    assert paths.socket == flowdapt_home / "run" / "flowdapt.sock"
    assert paths.user_modules == flowdapt_home / "user_modules"


def test_without_a_home_the_platform_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWDAPT_HOME")
    paths = find_paths()
    assert paths.home is None
    assert paths.data.name == "flowdapt"
    assert len(str(paths.socket)) <= SOCKET_PATH_MAX_BYTES


def test_a_long_home_gets_a_short_socket_of_its_own(flowdapt_home: Path) -> None:
    long = {"FLOWDAPT_HOME": str(flowdapt_home / ("d" * 120)), "XDG_RUNTIME_DIR": "/nowhere"}
    other = {**long, "FLOWDAPT_HOME": str(flowdapt_home / ("e" * 120))}
    first, second = find_paths(long).socket, find_paths(other).socket
    assert len(str(first)) <= SOCKET_PATH_MAX_BYTES
    assert first != second
    assert find_paths(long).socket == first


def test_a_home_without_any_short_place_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, flowdapt_home: Path
) -> None:
    deep = str(flowdapt_home / ("d" * 150))
    monkeypatch.setenv("XDG_CACHE_HOME", deep)
    monkeypatch.setattr("flowdapt.paths._runtime_bases", lambda _environ: iter(()))
    with pytest.raises(StartRefused, match="107 bytes") as caught:
        find_paths({"FLOWDAPT_HOME": deep})
    assert "FLOWDAPT_HOME" in (caught.value.fix or "")


def test_the_default_database_lies_in_the_data_directory(flowdapt_home: Path) -> None:
    settings = load_settings()
    assert settings.database_url == f"sqlite:///{flowdapt_home}/flowdapt.db"
    assert settings.on_sqlite


def test_overrides_beat_the_environment_which_beats_the_file(
    flowdapt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(flowdapt_home, '[local]\nslots = 1\nidle_timeout = "2m"\n[log]\nlevel = "error"')
    monkeypatch.setenv("FLOWDAPT_LOCAL__SLOTS", "2")
    monkeypatch.setenv("FLOWDAPT_LOG__LEVEL", "debug")
    settings = load_settings(overrides={"log": {"level": "warning"}})
    assert (settings.local.slots, settings.local.idle_timeout) == (2, 120.0)
    assert settings.log.level == "warning"


def test_quantities_are_written_as_people_do(flowdapt_home: Path) -> None:
    write(flowdapt_home, 'drain_timeout = "90s"\n[local]\nmemory = "8GB"\nresources = {vllm = 1}')
    settings = load_settings()
    assert (settings.drain_timeout, settings.local.memory) == (90.0, 8_000_000_000)
    assert settings.local.resources == {"vllm": 1.0}


def test_custom_resources_can_be_set_by_variables(
    flowdapt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWDAPT_LOCAL__RESOURCES__VLLM", "1")
    assert load_settings().local.resources == {"vllm": 1.0}


def test_settings_cannot_be_changed(flowdapt_home: Path) -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.local.slots = 3


@pytest.mark.parametrize(
    ("text", "place", "suggestion"),
    [
        ("[local]\nslotz = 2", ("local", "slotz"), "slots"),
        ("[databse]\nurl = ''", ("databse",), "database"),
        ("drain_timout = 3", ("drain_timout",), "drain_timeout"),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(
    flowdapt_home: Path, text: str, place: tuple[str, ...], suggestion: str
) -> None:
    write(flowdapt_home, text)
    error = refusal()
    assert (error.problems[0].loc, error.problems[0].suggestion) == (place, suggestion)
    assert suggestion in error.message
    assert "config.toml" in (error.fix or "")


@pytest.mark.parametrize("name", ["FLOWDAPT_LOCAL__SLOT", "FLOWDAPT_DRAIN_TIMEOUTS"])
def test_an_unknown_variable_is_refused_with_a_suggestion(
    flowdapt_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert "did you mean FLOWDAPT_" in refusal().message


def test_variables_of_other_purposes_are_left_alone(
    flowdapt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLOWDAPT_AUTOSTART", "FLOWDAPT_SECRET_A__B", "FLOWDAPT_BACKGROUND"):
        monkeypatch.setenv(name, "1")
    load_settings()


def test_webhooks_go_nowhere_inside_unless_it_is_written(flowdapt_home: Path) -> None:
    assert load_settings().webhooks.allowed == ()
    write(flowdapt_home, '[webhooks]\nallowed = ["10.0.0.0/8", "hooks.lan"]')
    assert load_settings().webhooks.allowed == ("10.0.0.0/8", "hooks.lan")


def test_an_entry_for_webhooks_that_opens_nothing_is_refused(flowdapt_home: Path) -> None:
    write(flowdapt_home, '[webhooks]\nallowed = ["10.0.0.1/8"]')
    assert "'10.0.0.1/8' is no address" in refusal().message


def test_everything_wrong_is_told_at_once(flowdapt_home: Path) -> None:
    write(flowdapt_home, '[local]\nslots = 0\nmemory = "much"\n[log]\nlevel = "loud"')
    assert len(refusal().problems) == 3


def test_a_file_that_is_no_toml_is_refused_with_its_line(flowdapt_home: Path) -> None:
    write(flowdapt_home, "[local\nslots = 2")
    error = refusal()
    assert error.exact_code == "settings.invalid"
    assert "line 1" in error.message


def test_a_directory_is_made_private(flowdapt_home: Path) -> None:
    made = ensure_private_directory(flowdapt_home / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_write_is_refused_with_the_fix(
    flowdapt_home: Path, mode: int
) -> None:
    flowdapt_home.chmod(mode)
    with pytest.raises(StartRefused, match="open to other users") as caught:
        ensure_private_directory(flowdapt_home)
    assert caught.value.fix == f"chmod 700 {flowdapt_home}"


def test_the_directory_of_the_socket_may_not_even_be_looked_into(flowdapt_home: Path) -> None:
    flowdapt_home.chmod(0o755)
    ensure_private_directory(flowdapt_home)
    with pytest.raises(StartRefused, match="open to other users"):
        ensure_private_directory(flowdapt_home, strict=True)


def test_a_link_in_place_of_a_directory_is_refused(flowdapt_home: Path) -> None:
    (flowdapt_home / "real").mkdir()
    (flowdapt_home / "link").symlink_to(flowdapt_home / "real")
    with pytest.raises(StartRefused, match="symbolic link"):
        ensure_private_directory(flowdapt_home / "link")


def test_a_file_in_place_of_a_directory_is_refused(flowdapt_home: Path) -> None:
    (flowdapt_home / "file").touch()
    with pytest.raises(StartRefused, match="not a directory"):
        ensure_private_directory(flowdapt_home / "file")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_data_path", homeless)
    with pytest.raises(StartRefused) as refused:
        find_paths({})
    assert refused.value.exact_code == "start.no_home"
    assert "FLOWDAPT_HOME" in str(refused.value.fix)
