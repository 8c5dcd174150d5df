"""Executors made of profiles: options checked in words, secrets filled in, how long a start may take."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import trio
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flowdapt.daemon.kinds import InstalledKinds
from flowdapt.domain.errors import InvalidInput, NotFound
from flowdapt.domain.task import WorkerEnvironment
from flowdapt.plugins.manager import Plugins
from flowdapt.testing import FakeExecutor

pytestmark = pytest.mark.trio

ENVIRONMENT = WorkerEnvironment(values_root="/v", artifacts_url="file:/a", memory_root="/m")


class Options(BaseModel):
    """What a cluster of the test takes."""

    model_config = ConfigDict(extra="forbid")

    address: str | None = None
    password: str = ""
    maximum: int = Field(default=1, ge=1)
    connect_timeout: float = 7.0
    start_timeout: float = 180.0
    places: list[dict[str, str]] = []

    @model_validator(mode="after")
    def _no_stranger(self) -> Options:
        if self.address == "tcp://far:1":
            raise ValueError("tcp://far:1 is another machine, without TLS; add insecure")
        return self


class Cluster(FakeExecutor):
    """A kind with options."""

    kind: ClassVar[str] = "grid"
    options: ClassVar[type[BaseModel] | None] = Options

    def __init__(self, given: Any, environment: WorkerEnvironment) -> None:
        super().__init__()
        self.given = given
        self.environment = environment


@pytest.fixture
def kinds() -> InstalledKinds:
    plugins = Plugins([])
    plugins._declared.executor["grid"] = f"{__name__}:Cluster"
    secrets = {"LAB": "hunter2"}

    def expand(text: str) -> str:
        if "{secret:" in text:
            name = text[len("{secret:") : -1]
            if name not in secrets:
                raise NotFound(f"there is no secret {name!r}")
            return secrets[name]
        return text

    return InstalledKinds(plugins, ENVIRONMENT, expand)


async def refused(kinds: InstalledKinds, kind: str, **options: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        await kinds.validate(kind, options)
    return caught.value


async def test_an_executor_is_made_with_its_options_and_the_environment(
    kinds: InstalledKinds,
) -> None:
    prepared = await kinds.prepare("grid", {"address": "tls://far:1", "maximum": 4})
    made = prepared.make()
    assert isinstance(made, Cluster)
    assert (made.given.address, made.given.maximum) == ("tls://far:1", 4)
    assert made.environment is ENVIRONMENT


async def test_a_cluster_that_is_there_answers_sooner_than_one_that_is_started(
    kinds: InstalledKinds,
) -> None:
    there = await kinds.prepare("grid", {"address": "tls://far:1"})
    here = await kinds.prepare("grid", {})
    slow = await kinds.prepare("grid", {"address": "tls://far:1", "connect_timeout": 300})
    assert (there.patience_s, here.patience_s, slow.patience_s) == (12.0, 185.0, 305.0)


async def test_secrets_are_filled_in_when_it_opens_and_not_before(kinds: InstalledKinds) -> None:
    options = {"password": "${secret:LAB}", "places": [{"key": "{secret:LAB}"}]}
    await kinds.validate("grid", options)
    made = (await kinds.prepare("grid", options)).make()
    assert isinstance(made, Cluster)
    assert made.given.password == "hunter2"
    assert made.given.places == [{"key": "hunter2"}]
    await kinds.validate("grid", {"password": "${secret:NONE}"})
    with pytest.raises(NotFound):
        await kinds.prepare("grid", {"password": "${secret:NONE}"})


async def test_an_unknown_option_is_refused_with_the_near_one(kinds: InstalledKinds) -> None:
    error = await refused(kinds, "grid", maximun=3)
    (problem,) = error.problems
    assert (problem.code, problem.loc) == ("executor.unknown_option", ("options", "maximun"))
    assert problem.suggestion == "maximum"
    assert error.fix == "did you mean maximum?"


async def test_what_is_wrong_with_an_option_is_told_in_words(kinds: InstalledKinds) -> None:
    error = await refused(kinds, "grid", maximum=0, connect_timeout="soon")
    assert [problem.loc for problem in error.problems] == [
        ("options", "maximum"), ("options", "connect_timeout"),
    ]  # fmt: skip
    assert "option maximum of grid" in error.message
    assert "http" not in error.message, "no link to the library's pages"


async def test_what_a_model_refuses_as_a_whole_is_told_as_it_says(kinds: InstalledKinds) -> None:
    error = await refused(kinds, "grid", address="tcp://far:1")
    assert error.message == "grid: tcp://far:1 is another machine, without TLS; add insecure"


async def test_a_kind_without_options_has_no_profiles(kinds: InstalledKinds) -> None:
    assert (await refused(kinds, "local")).exact_code == "executor.no_profiles"
    assert (await refused(kinds, "mars")).exact_code == "plugin.unknown_kind"


async def test_a_kind_that_hangs_at_its_import_is_given_up(kinds: InstalledKinds) -> None:
    released = trio.Event()

    def hang(_kind: str, _options: Any) -> Any:
        trio.from_thread.run(released.wait)

    kinds._prepare = hang  # type: ignore[method-assign]
    with trio.move_on_after(0.05) as scope:
        await kinds.prepare("grid", {})
    assert scope.cancelled_caught
    released.set()
