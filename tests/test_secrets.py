"""Secrets: which place is asked first, what of them shows, and which files are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowdapt.domain.errors import InvalidInput, NotFound, UnsafeDirectory
from flowdapt.secrets import Secrets, find_keyring, take_from_environment


class Ring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        self.kept[service, name] = value

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


class LockedRing(Ring):
    """A keyring that answers nothing but errors, as a locked one does."""

    def get_password(self, service: str, name: str) -> str | None:
        raise RuntimeError("locked")

    set_password = delete_password = get_password  # type: ignore[assignment]


@pytest.fixture
def file(flowdapt_home: Path) -> Path:
    return flowdapt_home / "secrets" / "secrets.json"


def on_file(file: Path, **environ: str) -> Secrets:
    return Secrets(file, environ=environ, keyring=lambda: None)


def test_a_value_that_was_set_is_found(file: Path) -> None:
    assert on_file(file).set("API_KEY", "s3cret") == "file"
    assert on_file(file).get("API_KEY") == "s3cret"


def test_the_file_and_its_directory_are_private(file: Path) -> None:
    before = os.umask(0)
    try:
        on_file(file).set("A", "x")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_the_environment_comes_first(file: Path) -> None:
    on_file(file).set("api-key", "from the file")
    secrets = on_file(file, FLOWDAPT_SECRET_API_KEY="from the environment")
    assert secrets.get("api-key") == "from the environment"
    assert [(one.name, one.place) for one in secrets.list_()] == [("api-key", "environment")]


def test_a_keyring_is_preferred_to_the_file(file: Path) -> None:
    ring = Ring()
    secrets = Secrets(file, environ={}, keyring=lambda: ring)
    assert secrets.set("A", "hidden") == "keyring"
    assert secrets.get("A") == "hidden"
    assert "hidden" not in file.read_text()
    assert [(one.name, one.place) for one in secrets.list_()] == [("A", "keyring")]
    secrets.delete("A")
    assert ring.kept == {}


def test_a_keyring_that_fails_gives_way_to_the_file(file: Path) -> None:
    secrets = Secrets(file, environ={}, keyring=LockedRing)
    assert secrets.set("A", "x") == "file"
    assert secrets.get("A") == "x"


def test_a_locked_keyring_is_told_from_a_missing_secret(file: Path) -> None:
    Secrets(file, environ={}, keyring=Ring().__class__).set("A", "x")
    ring = Ring()
    Secrets(file, environ={}, keyring=lambda: ring).set("A", "x")
    with pytest.raises(NotFound, match="locked or gone"):
        Secrets(file, environ={}, keyring=LockedRing).get("A")


def test_no_backend_is_no_keyring() -> None:
    assert find_keyring() is None


def test_a_missing_secret_says_how_to_set_it(file: Path) -> None:
    with pytest.raises(NotFound) as caught:
        on_file(file).get("db.password")
    assert "flowdapt secret set db.password" in (caught.value.fix or "")
    assert "FLOWDAPT_SECRET_DB_PASSWORD" in (caught.value.fix or "")


def test_a_deleted_secret_is_gone(file: Path) -> None:
    secrets = on_file(file)
    secrets.set("A", "x")
    secrets.delete("A")
    assert secrets.list_() == []
    with pytest.raises(NotFound):
        secrets.delete("A")


@pytest.mark.parametrize("name", ["", "../x", "a b", "a\0", "x" * 129])
def test_odd_names_are_refused(file: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        on_file(file).set(name, "x")


@pytest.mark.parametrize("value", ["", "x" * 65537])
def test_odd_values_are_refused(file: Path, value: str) -> None:
    with pytest.raises(InvalidInput, match="64 KiB"):
        on_file(file).set("A", value)


def test_urls_may_name_secrets(file: Path) -> None:
    secrets = on_file(file)
    secrets.set("pw", "p@ss")
    assert secrets.expand("postgresql://u:{secret:pw}@h/d") == "postgresql://u:p@ss@h/d"
    with pytest.raises(NotFound):
        secrets.expand("{secret:other}")


def test_variables_of_secrets_are_not_inherited() -> None:
    environ = {"FLOWDAPT_SECRET_A": "x", "PATH": "/bin"}
    assert take_from_environment(environ) == {"FLOWDAPT_SECRET_A": "x"}
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused_with_the_fix(file: Path, mode: int) -> None:
    on_file(file).set("A", "x")
    file.chmod(mode)
    with pytest.raises(UnsafeDirectory) as caught:
        on_file(file).get("A")
    assert f"chmod 600 {file}" in (caught.value.fix or "")


def test_a_loose_directory_is_refused(file: Path) -> None:
    on_file(file).set("A", "x")
    file.parent.chmod(0o755)
    with pytest.raises(UnsafeDirectory, match="open to other users"):
        on_file(file).set("A", "y")


def test_links_fifos_and_empty_files_are_refused(file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    file.symlink_to("/etc/hostname")
    with pytest.raises(UnsafeDirectory):
        on_file(file).get("A")
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(UnsafeDirectory, match="regular"):
        on_file(file).get("A")
    file.unlink()
    file.touch(0o600)
    with pytest.raises(UnsafeDirectory, match="damaged"):
        on_file(file).get("A")


def test_the_mask_stands_for_the_value_that_is_there(flowdapt_home: Path) -> None:
    secrets = Secrets(flowdapt_home / "secrets.json", environ={})
    with pytest.raises(InvalidInput) as caught:
        secrets.set("KEY", "***")
    assert caught.value.exact_code == "secret.masked"
    assert secrets.list_() == []
    secrets.set("KEY", "value")
    secrets.set("KEY", "***")
    assert secrets.get("KEY") == "value"
