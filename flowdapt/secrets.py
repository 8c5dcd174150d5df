"""Decide where secrets lie and in which order they are looked up: environment, keyring, 0600 file.

Everything here may block (a keyring may ask over D-Bus): call it in a thread. Values go in and
out of this module only; names may be listed.
"""

from __future__ import annotations

import json
import os
import re
import secrets as entropy
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from flowdapt.domain.errors import InvalidInput, NotFound, StoreUnwritable, UnsafeDirectory
from flowdapt.domain.names import check_name
from flowdapt.paths import ensure_private_directory

__all__ = ["SecretName", "Secrets", "take_from_environment"]

Place = Literal["environment", "keyring", "file"]

_PREFIX = "FLOWDAPT_SECRET_"
_SERVICE = "flowdapt"
_MASKED = "***"
_VALUE_MAX_BYTES = 64 * 1024
_PLACEHOLDER = re.compile(r"\{secret:([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class SecretName:
    """A secret that exists, and where its value comes from."""

    name: str
    place: Place


class Keyring(Protocol):
    """The part of the `keyring` module that is used; its backends raise what they like."""

    def get_password(self, service: str, name: str) -> str | None: ...
    def set_password(self, service: str, name: str, value: str) -> None: ...
    def delete_password(self, service: str, name: str) -> None: ...


def take_from_environment(environ: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    """Remove and return the `FLOWDAPT_SECRET_…` variables, so that no child process inherits them."""
    names = [name for name in environ if name.startswith(_PREFIX)]
    return {name: environ.pop(name) for name in names}


def find_keyring() -> Keyring | None:
    """Return the session's keyring, or None where there is none, as on most servers."""
    try:
        import keyring

        usable = keyring.get_keyring().priority > 0
    except Exception:
        return None
    return keyring if usable else None


class Secrets:
    """The secrets of one daemon. Names that only a keyring holds are remembered in the file."""

    def __init__(
        self,
        file: Path,
        *,
        environ: Mapping[str, str] | None = None,
        keyring: Callable[[], Keyring | None] = find_keyring,
    ) -> None:
        self._file = file
        self._environ = os.environ if environ is None else environ
        self._find_keyring = keyring
        self._lock = threading.Lock()

    def get(self, name: str) -> str:
        """Return the value; raise NotFound saying how to set it."""
        check_name(name, "secret name")
        value = self._environ.get(_variable(name))
        if value is not None:
            return value
        with self._lock:
            kept = self._read()
            if name not in kept:
                raise _missing(name)
            value = kept[name]
            return self._from_keyring(name) if value is None else value

    def set(self, name: str, value: str) -> Place:
        """Keep the value in the keyring, else in the file; return where it went.

        `***`, as values are shown, leaves the one that is there.
        """
        check_name(name, "secret name")
        if not value or len(value.encode("utf-8", "surrogatepass")) > _VALUE_MAX_BYTES:
            raise InvalidInput(
                "a secret is 1 byte to 64 KiB of text", code="secret.size", fix="give a value"
            )
        with self._lock:
            kept = self._read()
            if value == _MASKED:
                return self._unchanged(name, kept)
            place: Place = "keyring" if self._to_keyring(name, value) else "file"
            kept[name] = None if place == "keyring" else value
            self._write(kept)
        return place

    def _unchanged(self, name: str, kept: Mapping[str, str | None]) -> Place:
        if name not in kept:
            raise InvalidInput(
                f"{_MASKED} stands for a value that is not shown, and {name!r} has none yet",
                code="secret.masked",
                fix="give the value itself",
            )
        return "keyring" if kept[name] is None else "file"

    def list_(self) -> list[SecretName]:
        """Return the names in order; never a value."""
        with self._lock:
            kept = self._read()
        found: dict[str, Place] = {
            name: "keyring" if value is None else "file" for name, value in kept.items()
        }
        for variable in self._environ:
            if variable.startswith(_PREFIX):
                known = [name for name in kept if _variable(name) == variable]
                found[known[0] if known else variable.removeprefix(_PREFIX)] = "environment"
        return [SecretName(name, place) for name, place in sorted(found.items())]

    def delete(self, name: str) -> None:
        """Forget the value in keyring and file; raise NotFound."""
        check_name(name, "secret name")
        with self._lock:
            kept = self._read()
            if name not in kept:
                raise _missing(name)
            if kept.pop(name) is None:
                self._out_of_keyring(name)
            self._write(kept)

    def values(self) -> list[str]:
        """Return every value that can be had now, for masking."""
        found = []
        for known in self.list_():
            with suppress(NotFound):
                found.append(self.get(known.name))
        return found

    def expand(self, text: str) -> str:
        """Return the text with each `{secret:NAME}` replaced by its value."""
        return _PLACEHOLDER.sub(lambda match: self.get(match[1]), text)

    # -- the keyring -------------------------------------------------------------------------------

    def _from_keyring(self, name: str) -> str:
        keyring = self._find_keyring()
        value = None
        if keyring is not None:
            with suppress(Exception):
                value = keyring.get_password(_SERVICE, name)
        if value is None:
            raise NotFound(
                f"secret {name!r} lies in a keyring that is locked or gone",
                code="secret.keyring_unavailable",
                fix=f"unlock the keyring, or  flowdapt secret set {name}",
            )
        return value

    def _to_keyring(self, name: str, value: str) -> bool:
        keyring = self._find_keyring()
        if keyring is None:
            return False
        try:
            keyring.set_password(_SERVICE, name, value)
            return keyring.get_password(_SERVICE, name) == value
        except Exception:
            return False

    def _out_of_keyring(self, name: str) -> None:
        keyring = self._find_keyring()
        if keyring is not None:
            with suppress(Exception):
                keyring.delete_password(_SERVICE, name)

    # -- the file ----------------------------------------------------------------------------------

    def _read(self) -> dict[str, str | None]:
        """Return name -> value, None where the keyring has it. Refuse a file others may touch."""
        try:
            descriptor = os.open(
                self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except FileNotFoundError:
            return {}
        except OSError:
            raise UnsafeDirectory(
                f"{self._file} is a symbolic link or cannot be read",
                fix=f"replace {self._file} by a regular file of mode 0600",
            ) from None
        with os.fdopen(descriptor, "rb") as file:
            self._refuse_unsafe(os.fstat(file.fileno()))
            return self._parsed(file.read())

    def _refuse_unsafe(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise UnsafeDirectory(
                f"{self._file} is not a regular file", fix=f"move {self._file} away"
            )
        if found.st_uid != os.geteuid():
            raise UnsafeDirectory(
                f"{self._file} belongs to user {found.st_uid}", fix=f"move {self._file} away"
            )
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise UnsafeDirectory(
                f"{self._file} is open to other users (mode {mode:04o})",
                fix=f"chmod 600 {self._file}, and change the secrets that it held",
            )

    def _parsed(self, text: bytes) -> dict[str, str | None]:
        try:
            kept = json.loads(text)
            if isinstance(kept, dict) and all(_is_entry(*entry) for entry in kept.items()):
                return kept
        except ValueError:
            pass
        raise UnsafeDirectory(
            f"{self._file} is not a file of secrets (empty or damaged)",
            fix=f"remove {self._file} and set the secrets again",
        )

    def _write(self, kept: dict[str, str | None]) -> None:
        ensure_private_directory(self._file.parent, strict=True)
        temporary = self._file.with_name(f".{self._file.name}.{entropy.token_hex(4)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._file)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreUnwritable(
                f"{self._file} cannot be written: {error.strerror}",
                fix=f"make room for, or give yourself access to, {self._file.parent}",
            ) from None


def _variable(name: str) -> str:
    return _PREFIX + re.sub(r"[.-]", "_", name).upper()


def _is_entry(name: object, value: object) -> bool:
    return isinstance(name, str) and (value is None or isinstance(value, str))


def _missing(name: str) -> NotFound:
    return NotFound(
        f"there is no secret {name!r}",
        code="secret.missing",
        fix=f"flowdapt secret set {name}, or set {_variable(name)} for the daemon",
    )
