"""What a preflight says of versions here and on workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.domain.skew import skew

if TYPE_CHECKING:
    from flowdapt.domain.finding import Finding

LIBRARIES = {"cloudpickle": "3.1.2", "msgspec": "0.20.0", "numpy": "2.1.0"}
DASK = {"dask": "2026.8.0", "distributed": "2026.8.0"}


def facts(**changed: Any) -> dict[str, Any]:
    return {
        "flowdapt": "0.2.0",
        "python": "3.11.9",
        "implementation": "cpython",
        "platform": "linux-x86_64",
        "libraries": LIBRARIES | DASK,
        "plugins": {},
    } | changed


def plugin(version: str, distribution: str = "flowdapt-nowcast") -> dict[str, Any]:
    return {"distribution": distribution, "version": version, "editable": False}


def rows(here: dict[str, Any], *workers: dict[str, Any] | None, **named: Any) -> list[Finding]:
    named.setdefault("engine", ("dask", "distributed"))
    return skew(here, {str(n): one for n, one in enumerate(workers)}, **named)


def bad(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(row.level, row.code, row.words) for row in found if row.level != "ok"]


def test_equal_sides_are_told_in_three_lines() -> None:
    found = rows(facts(), facts(), facts())
    assert [(row.level, row.words) for row in found] == [
        ("ok", "flowdapt 0.2.0 = 0.2.0"),
        ("ok", "python 3.11 = 3.11"),
        ("ok", "dask, distributed, cloudpickle, msgspec equal"),
    ]


def test_a_patch_of_python_does_not_matter() -> None:
    assert bad(rows(facts(), facts(python="3.11.2"))) == []


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"python": "3.12.4"}, "python 3.11 here, 3.12 on the worker"),
        ({"implementation": "pypy"}, "python 3.11 here, pypy 3.11 on the worker"),
    ],
)
def test_another_python_fails(there: dict[str, Any], words: str) -> None:
    assert bad(rows(facts(), facts(**there))) == [("failed", "executor.python_skew", words)]


def test_a_plugin_of_another_version_is_told_with_the_number_of_workers() -> None:
    here = facts(plugins={"nowcast": plugin("0.4.1")})
    old = facts(plugins={"nowcast": plugin("0.3.9")})
    found = rows(here, here, old, here, old, here, here)
    assert bad(found) == [
        ("failed", "executor.plugin_skew", "plugin nowcast 0.4.1 here, 0.3.9 on 2 of 6 workers")
    ]
    assert found[-1].fix == "install flowdapt-nowcast==0.4.1 in the workers' environment"


def test_a_plugin_that_workers_lack_fails() -> None:
    here = facts(plugins={"nowcast": plugin("0.4.1"), "other": plugin("1")})
    without = facts(plugins={"other": plugin("1")})
    found = rows(here, without, without)
    words = "plugin nowcast 0.4.1 here, none on all 2 workers"
    assert bad(found) == [("failed", "executor.plugin_skew", words)]
    assert ("ok", "1 plugin equal") in [(row.level, row.words) for row in found]


def test_a_plugin_whose_sources_travel_may_be_missing() -> None:
    here = facts(plugins={"nowcast": plugin("0.4.1")})
    found = rows(here, facts(), travelling=["nowcast"])
    assert bad(found) == []
    assert found[-1].words == "sources of nowcast go along with the tasks"


def test_a_plugin_that_only_workers_have_is_their_own_affair() -> None:
    assert bad(rows(facts(), facts(plugins={"theirs": plugin("1")}))) == []


@pytest.mark.parametrize(
    ("there", "level"), [("0.2.1", "warning"), ("0.3.0", "failed"), ("1.2.0", "failed")]
)
def test_flowdapt_fails_on_another_minor_version(there: str, level: str) -> None:
    words = f"flowdapt 0.2.0 here, {there} on the worker"
    assert bad(rows(facts(), facts(flowdapt=there))) == [(level, "executor.flowdapt_skew", words)]


def test_workers_without_flowdapt_are_counted_and_the_others_compared() -> None:
    found = rows(facts(), None, facts(python="3.12.1"), None)
    assert bad(found) == [
        ("failed", "executor.flowdapt_skew", "flowdapt cannot be imported on 2 of 3 workers"),
        ("failed", "executor.python_skew", "python 3.11 here, 3.12 on the worker"),
    ]


@pytest.mark.parametrize(
    ("name", "there", "level"),
    [
        ("distributed", "2026.8.1", "warning"),
        ("distributed", "2026.7.0", "failed"),
        ("cloudpickle", "3.0.0", "warning"),
        ("cloudpickle", "2.2.1", "failed"),
        ("numpy", "1.26.4", "warning"),
        ("msgspec", "0.19.0", "warning"),
    ],
)
def test_a_library_fails_where_its_versions_do_not_understand_each_other(
    name: str, there: str, level: str
) -> None:
    mine = (LIBRARIES | DASK)[name]
    found = rows(facts(), facts(libraries=LIBRARIES | DASK | {name: there}))
    words = f"{name} {mine} here, {there} on the worker"
    assert bad(found) == [(level, "executor.library_skew", words)]


def test_ray_must_be_the_very_same_version() -> None:
    here = facts(libraries=LIBRARIES | {"ray": "2.60.0"})
    there = facts(libraries=LIBRARIES | {"ray": "2.60.1"})
    assert [level for level, _, _ in bad(rows(here, there, engine=["ray"]))] == ["failed"]


def test_libraries_of_another_cluster_are_passed_over() -> None:
    here = facts(libraries=LIBRARIES | DASK | {"ray": "2.60.0"})
    assert bad(rows(here, facts())) == []


def test_several_versions_there_are_told_by_frequency() -> None:
    there = [facts(libraries=LIBRARIES | DASK | {"numpy": one}) for one in ("1.2", "1.3", "1.3")]
    words = "numpy 2.1.0 here, 1.3 on 2 of 3 workers, 1.2 on 1 of 3 workers"
    assert [told for _, _, told in bad(rows(facts(), *there))] == [words]


def test_another_platform_is_a_warning() -> None:
    found = bad(rows(facts(), facts(platform="linux-aarch64")))
    assert [(level, code) for level, code, _ in found] == [("warning", "executor.platform_skew")]
