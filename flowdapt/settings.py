"""Decide what a person may set, from where it is read and what holds by default.

Overrides (command line) beat the environment (`FLOWDAPT_DATABASE__URL`), which beats the TOML
file. A Settings value is passed to whom it concerns; none is kept here.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from flowdapt.domain.errors import Problem, StartRefused
from flowdapt.domain.quantities import DurationS, SizeBytes
from flowdapt.paths import Paths, find_paths

__all__ = [
    "ApiSettings",
    "BackupSettings",
    "BrokerSettings",
    "DatabaseSettings",
    "LimitSettings",
    "LocalSettings",
    "LogSettings",
    "RetentionSettings",
    "ServiceSettings",
    "Settings",
    "StorageSettings",
    "TargetSettings",
    "TuiSettings",
    "WebhookSettings",
    "load_settings",
]

_PREFIX = "FLOWDAPT_"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Section):
    """Where state lives."""

    url: str = Field(
        default="",
        description="SQLAlchemy URL; empty: SQLite in the data directory. May hold {secret:NAME}.",
    )
    readers: int = Field(default=2, ge=1, le=16, description="Connections that read at once.")
    insecure: bool = Field(
        default=False,
        description="Allow a PostgreSQL on another machine without TLS or without a login.",
    )


class BrokerSettings(_Section):
    """What carries wake-ups between daemons, and events to and from other systems."""

    url: str = Field(
        default="inprocess://",
        description="URL of the broker: inprocess, nats, tls (NATS), redis, rediss. May hold {secret:NAME}.",
    )
    prefix: str = Field(
        default="flowdapt",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="Names on the broker's server begin so; daemons on one database share it.",
    )
    insecure: bool = Field(
        default=False,
        description="Allow a broker on another machine without TLS or without a login.",
    )


class StorageSettings(_Section):
    """Where artifacts go, and what disk must stay free."""

    artifacts_url: str = Field(
        default="", description="fsspec URL of the artifacts; empty: below the data directory."
    )
    warn_free: SizeBytes = Field(
        default=512 * 1024**2, description="Less free disk than this is warned of."
    )
    min_free: SizeBytes = Field(
        default=128 * 1024**2, description="With less free disk than this no run is begun."
    )


class LocalSettings(_Section):
    """The executor on this machine."""

    slots: int | None = Field(
        default=None, ge=1, le=1024, description="Tasks at once; default: one per CPU."
    )
    memory: SizeBytes = Field(
        default=0, description="Memory that stages may ask for together; 0: not limited."
    )
    gpus: float = Field(default=0.0, ge=0, description="GPUs that stages may ask for together.")
    resources: dict[str, float] = Field(
        default_factory=dict, description="Custom resources and how much there is of each."
    )
    idle_timeout: DurationS = Field(
        default=30.0, description="An idle worker process ends after this."
    )
    start_timeout: DurationS = Field(
        default=60.0, description="A task whose body does not begin within this is lost."
    )
    max_output: SizeBytes = Field(
        default=16 * 1024**2, description="Captured output per task; more is cut in the middle."
    )


class ServiceSettings(_Section):
    """Which services this daemon runs; all of them on SQLite."""

    api: bool = Field(default=True, description="Answer requests on the socket.")
    compute: bool = Field(default=True, description="Drive runs.")
    triggers: bool = Field(default=True, description="Fire trigger rules.")


class ApiSettings(_Section):
    """Who may speak to the socket, and for how long."""

    allowed_uids: tuple[int, ...] = Field(
        default=(), description="Other users (numeric ids) who may use the socket."
    )
    read_timeout: DurationS = Field(
        default=10.0, description="A request must have arrived within this (large bodies: longer)."
    )
    idle_timeout: DurationS = Field(
        default=60.0, description="An unused connection is closed after this."
    )
    keep_alive: DurationS = Field(
        default=15.0, description="A silent event stream sends a comment this often."
    )


class LimitSettings(_Section):
    """How much of anything there may be."""

    body: SizeBytes = Field(default=1024**2, description="Largest request body but for artifacts.")
    artifact: SizeBytes = Field(
        default=64 * 1024**2, description="Largest artifact file sent over REST."
    )
    connections: int = Field(default=100, ge=4, le=10_000, description="Connections at once.")
    max_queued_runs: int = Field(
        default=10_000, ge=1, description="Queued runs; one more is refused."
    )
    log_bytes: SizeBytes = Field(default=64 * 1024**2, description="Log lines kept per run.")


class RetentionSettings(_Section):
    """What is forgotten, and when."""

    enabled: bool = Field(default=True, description="Delete old terminal runs, whole.")
    max_age: DurationS = Field(
        default=30 * 86400.0, description="Runs that ended longer ago than this go."
    )
    keep_per_workflow: int = Field(
        default=50, ge=0, description="The newest runs of each workflow that always stay."
    )


class BackupSettings(_Section):
    """Copies of a SQLite database."""

    daily: bool = Field(default=True, description="Write a backup every day.")
    keep: int = Field(default=7, ge=1, le=365, description="Backups that are kept.")


class LogSettings(_Section):
    """The daemon's own log."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lines below this are dropped."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else JSON lines."
    )


class WebhookSettings(_Section):
    """Where webhooks of trigger rules may go."""

    allowed: tuple[str, ...] = Field(
        default=(),
        description="Addresses, networks (CIDR) and exact host names that webhooks may call beside the public internet.",
    )

    @field_validator("allowed")
    @classmethod
    def _can_be_read(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        # Only who allows something reads addresses at the start.
        if entries:
            from flowdapt.domain.outbound import Allowed

            Allowed.of(entries)
        return entries


class TargetSettings(_Section):
    """Which code a stage may name."""

    allowed: tuple[str, ...] = Field(
        default=(), description="Prefixes of targets that may be applied; empty: any."
    )


class TuiSettings(_Section):
    """The workstation in the terminal; the daemon only lets them pass."""

    theme: Literal["dark", "light", "contrast", "mono"] = Field(
        default="dark", description="Colours of the workstation."
    )
    ascii: bool = Field(default=False, description="Draw with ASCII signs only.")
    read_only: bool = Field(default=False, description="Forbid changes until `!` allows them.")
    keys: dict[str, str] = Field(
        default_factory=dict, description="Other keys, by the id that `?` shows."
    )


class Settings(BaseSettings):
    """Everything that can be set. Frozen; `paths` comes from the environment alone."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    storage: StorageSettings = StorageSettings()
    local: LocalSettings = LocalSettings()
    services: ServiceSettings = ServiceSettings()
    api: ApiSettings = ApiSettings()
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    backup: BackupSettings = BackupSettings()
    log: LogSettings = LogSettings()
    targets: TargetSettings = TargetSettings()
    webhooks: WebhookSettings = WebhookSettings()
    tui: TuiSettings = TuiSettings()
    python_path: tuple[Path, ...] = Field(
        default=(), description="Directories that stages import from, before site-packages."
    )
    drain_timeout: DurationS = Field(
        default=60.0, description="Running stages may end within this when the daemon stops."
    )

    _paths: Paths | None = None

    def at(self, paths: Paths) -> Settings:
        self._paths = paths
        return self

    @property
    def paths(self) -> Paths:
        assert self._paths is not None
        return self._paths

    @property
    def database_url(self) -> str:
        """The URL as set, or that of the SQLite file in the data directory."""
        return self.database.url or f"sqlite:///{self.paths.data / 'flowdapt.db'}"

    @property
    def on_sqlite(self) -> bool:
        """Say whether the state lies in a file, which one daemon has to itself."""
        return self.database_url.startswith(("sqlite", "memory"))

    @property
    def artifacts_url(self) -> str:
        return self.storage.artifacts_url or (self.paths.data / "artifacts").as_uri()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read overrides and the environment here; the file joins in `load_settings`."""
        assert isinstance(init_settings, InitSettingsSource)
        given = dict(init_settings.init_kwargs)
        file = given.pop(_FILE, {})
        return (
            InitSettingsSource(settings_cls, given),
            env_settings,
            InitSettingsSource(settings_cls, file),
        )


_FILE = "file_content"


def load_settings(
    paths: Paths | None = None, *, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings of this process. Raise StartRefused listing everything wrong in them."""
    paths = paths or find_paths()
    file = _read_file(paths.config_file)
    _refuse_unknown_variables(os.environ)
    try:
        given: dict[str, Any] = {_FILE: file, **(overrides or {})}
        settings = Settings(**given)
    except ValidationError as error:
        raise _refused(list(_problems(error)), paths.config_file) from None
    return settings.at(paths)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refused([Problem("settings.syntax", str(error), source=str(path))], path) from None
    except OSError as error:
        problem = Problem("settings.unreadable", str(error.strerror), source=str(path))
        raise _refused([problem], path) from None


def _refused(problems: list[Problem], file: Path) -> StartRefused:
    first = problems[0]
    where = ".".join(str(part) for part in first.loc)
    hint = f"; did you mean {first.suggestion}?" if first.suggestion else ""
    return StartRefused(
        f"the settings are wrong: {where + ': ' if where else ''}{first.message}{hint}",
        code="settings.invalid",
        fix=f"correct {file} or the FLOWDAPT_ variables",
        problems=problems,
    )


def _problems(error: ValidationError) -> Iterator[Problem]:
    for found in error.errors():
        loc = found["loc"]
        unknown = found["type"] == "extra_forbidden"
        yield Problem(
            "settings.unknown_key" if unknown else "settings.invalid_value",
            "there is no such setting" if unknown else str(found["msg"]),
            tuple(loc),
            suggestion=_nearest(str(loc[-1]), _siblings(loc)) if unknown else None,
        )


def _siblings(loc: tuple[int | str, ...]) -> Iterable[str]:
    model: Any = Settings
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            return ()
        model = field.annotation
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """Refuse what is meant as a setting and is none: a nested name, or nearly a known one."""
    known = set(_variables())
    problems = []
    for name in environ:
        if not name.upper().startswith(_PREFIX) or name.upper() in known or _open_ended(name):
            continue
        suggestion = _nearest(name.upper(), known)
        if "__" in name or difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.9):
            message = "there is no such setting"
            problems.append(Problem("settings.unknown_key", message, (name,), suggestion))
    if problems:
        raise _refused(problems, Path("the environment"))


def _open_ended(name: str) -> bool:
    """Custom resources and secrets have names of their own."""
    return name.upper().startswith((f"{_PREFIX}LOCAL__RESOURCES__", f"{_PREFIX}SECRET_"))


def _variables() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        yield f"{_PREFIX}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for inner in field.annotation.model_fields:
                yield f"{_PREFIX}{name.upper()}__{inner.upper()}"
