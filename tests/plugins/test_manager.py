"""Plugins: found by entry point, asked by hook, imported late, and left out when broken."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from flowdapt import __version__
from flowdapt.domain.actions import BUILT_IN
from flowdapt.domain.errors import InvalidInput
from flowdapt.plugins.hookspecs import ENTRY_POINT_GROUP
from flowdapt.plugins.manager import Plugins
from flowdapt.ports.action import Action
from flowdapt.ports.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flowdapt.plugins.manager import PluginInfo

Make = "Callable[[str, str], EntryPoint]"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EntryPoint]]:
    """Write a module and return an entry point that names it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written: list[str] = []

    def make(name: str, code: str, *, module: str | None = None) -> EntryPoint:
        module = module or f"plugin_{name}"
        written.append(module)
        text = "from flowdapt.plugins import hookimpl\n" + textwrap.dedent(code)
        (tmp_path / f"{module}.py").write_text(text)
        return EntryPoint(name, module, ENTRY_POINT_GROUP)

    yield make
    for module in written:
        sys.modules.pop(module, None)


def info_of(plugins: Plugins, name: str) -> PluginInfo:
    return next(info for info in plugins.plugins() if info.name == name)


GOOD = """
@hookimpl
def flowdapt_executors():
    return {"slurm": "plugin_slurm_parts:SlurmExecutor"}

@hookimpl
def flowdapt_formats():
    return {"zarr": "plugin_slurm_parts:ZarrFormat"}

@hookimpl
def flowdapt_worker_extensions():
    return ["plugin_slurm_parts:start"]
"""


def test_the_built_in_parts_come_through_the_same_hooks() -> None:
    plugins = Plugins([])
    (info,) = plugins.plugins()
    assert (info.name, info.builtin, info.version) == ("builtin", True, __version__)
    assert set(info.provides) == {
        "executor:dask",
        "executor:ray",
        "executor:local",
        "action:log",
        "action:webhook",
        *(f"broker:{kind}" for kind in ("inprocess", "nats", "tls", "redis", "rediss")),
    }
    assert plugins.executor_kinds() == ["dask", "local", "ray"]
    assert plugins.broker_kinds() == ["inprocess", "nats", "redis", "rediss", "tls"]
    assert plugins.action_names() == ["log", "webhook"]
    assert plugins.worker_extensions() == ()


def test_built_in_actions_are_imported_when_asked_for() -> None:
    assert issubclass(Plugins([]).action("webhook"), Action)
    assert set(Plugins([]).action_models()) == {*BUILT_IN, "log", "webhook"}


def test_a_built_in_broker_is_imported_when_asked_for() -> None:
    assert issubclass(Plugins([]).broker("inprocess"), Broker)


def test_a_built_in_executor_is_imported_when_asked_for() -> None:
    assert Plugins([]).executor("local").kind == "local"


def test_what_a_plugin_declares_is_there(plugin) -> None:
    plugins = Plugins([plugin("slurm", GOOD)])
    info = info_of(plugins, "slurm")
    assert info.enabled
    assert info.error is None
    assert info.hooks == (
        "flowdapt_executors", "flowdapt_formats", "flowdapt_worker_extensions",
    )  # fmt: skip
    assert info.provides == (
        "executor:slurm", "format:zarr", "extension:plugin_slurm_parts:start",
    )  # fmt: skip
    assert plugins.executor_kinds() == ["dask", "local", "ray", "slurm"]
    assert plugins.worker_extensions() == (
        "plugin_slurm_parts:ZarrFormat", "plugin_slurm_parts:start",
    )  # fmt: skip


def test_listing_imports_nothing_of_what_is_declared(plugin) -> None:
    Plugins([plugin("slurm", GOOD)]).executor_kinds()
    assert "plugin_slurm_parts" not in sys.modules


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        ("@hookimpl\ndef flowdapt_nonsense(): ...", "flowdapt_nonsense"),
        ("@hookimpl\ndef flowdapt_executors(daemon): return {}", "daemon"),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_work(plugin, code: str, words: str) -> None:
    plugins = Plugins([plugin("broken", code), plugin("slurm", GOOD)])
    info = info_of(plugins, "broken")
    assert not info.enabled
    assert words in str(info.error)
    assert info_of(plugins, "slurm").enabled
    assert plugins.executor_kinds() == ["dask", "local", "ray", "slurm"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise ValueError('bad day')", "bad day"),
        ("return ['a:b']", "not a mapping"),
        ("return {'slurm': 'no import string'}", "import string"),
        ("return {'slurm': 'a.b:c.__globals__'}", "import string"),
        ("return {'Slurm!': 'a:b'}", "not a name"),
        ("return {'slurm': object}", "import string"),
        ("return {'local': 'a:b'}", "local: another plugin has that name"),
    ],
)
def test_a_hook_that_declares_nonsense_costs_that_hook_alone(plugin, body: str, words: str) -> None:
    code = f"""
@hookimpl
def flowdapt_executors():
    {body}

@hookimpl
def flowdapt_formats():
    return {{"zarr": "a:Zarr"}}
"""
    plugins = Plugins([plugin("odd", code)])
    info = info_of(plugins, "odd")
    assert info.enabled
    assert words in str(info.error)
    assert info.provides == ("format:zarr",)
    assert plugins.executor_kinds() == ["dask", "local", "ray"]


@pytest.mark.parametrize("body", ["'a:b'", "{'a:b'}", "['a b']", "[1]"])
def test_extensions_that_are_no_list_of_import_strings_are_refused(plugin, body: str) -> None:
    code = f"@hookimpl\ndef flowdapt_worker_extensions():\n    return {body}"
    plugins = Plugins([plugin("odd", code)])
    assert "import string" in str(info_of(plugins, "odd").error)
    assert plugins.worker_extensions() == ()


def test_two_plugins_of_one_name_are_both_shown(plugin) -> None:
    first, second = plugin("twin", GOOD), plugin("twin", "", module="plugin_twin_two")
    plugins = Plugins([first, second])
    names = [(info.name, info.enabled) for info in plugins.plugins() if not info.builtin]
    assert names == [("twin", True), ("twin ()", False)]


def test_an_unknown_kind_that_is_near_a_known_one_is_taken_for_a_slip() -> None:
    with pytest.raises(InvalidInput) as caught:
        Plugins([]).executor("locl")
    assert caught.value.fix == "did you mean 'local'?"


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="'slurm'") as caught:
        Plugins([]).executor("slurm")
    assert "local" in str(caught.value.fix)
    assert caught.value.exact_code == "plugin.unknown_kind"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (None, "ModuleNotFoundError"),
        ("", "AttributeError"),
        ("SlurmExecutor = 5", "not a subclass of Executor"),
        ("raise SystemExit(1)", "SystemExit"),
    ],
)
def test_a_declared_class_that_cannot_be_had_is_told(
    plugin, tmp_path: Path, parts: str | None, words: str
) -> None:
    plugins = Plugins([plugin("slurm", GOOD)])
    if parts is not None:
        plugin("parts", parts, module="plugin_slurm_parts")
    with pytest.raises(InvalidInput, match=words) as caught:
        plugins.executor("slurm")
    assert "plugin_slurm_parts:SlurmExecutor" in str(caught.value)


ACTIONS = """
@hookimpl
def flowdapt_actions():
    return {"page": "plugin_page_parts:Page", "mail": "plugin_page_parts:Mail"}
"""
PAGE = """
from pydantic import BaseModel
from flowdapt.ports.action import Action

class Parameters(BaseModel):
    who: str

class Page(Action):
    name = "page"
    parameters = Parameters

    async def perform(self, parameters, occasion): ...
"""


def test_an_action_of_a_plugin_can_be_had(plugin) -> None:
    plugins = Plugins([plugin("page", ACTIONS)])
    assert plugins.action_names() == ["log", "mail", "page", "webhook"]
    assert "plugin_page_parts" not in sys.modules
    plugin("parts", PAGE, module="plugin_page_parts")
    assert plugins.action("page")().name == "page"
    assert "who" in plugins.action_models()["page"].model_fields


@pytest.mark.parametrize(
    ("mail", "words"),
    [
        ("", "AttributeError"),
        ("Mail = 5", "not a subclass of Action"),
        ("class Mail(Action):\n    name = 'mail'", "`parameters`"),
        ("class Mail(Page): ...", "`name = 'mail'`"),
        ("raise SystemExit(1)", "SystemExit"),
    ],
)
def test_a_broken_action_is_named_and_the_others_work(plugin, mail: str, words: str) -> None:
    plugins = Plugins([plugin("page", ACTIONS)])
    plugin("parts", f"{PAGE}\n{mail}", module="plugin_page_parts")
    for _ in range(2):
        models = plugins.action_models()
    assert "mail" not in models
    assert {"log", "webhook", "run_workflow"} <= set(models)
    with pytest.raises(InvalidInput, match=words) as caught:
        plugins.action("mail")
    assert caught.value.exact_code == "plugin.broken"
    error = str(info_of(plugins, "page").error)
    assert words in error
    assert error.count("'mail' (") == 1, "told once, however often it is asked for"


@pytest.mark.parametrize("name", ["run_workflow", "publish_event", "log", "webhook"])
def test_the_name_of_a_built_in_action_is_taken(plugin, name: str) -> None:
    code = f"@hookimpl\ndef flowdapt_actions():\n    return {{'{name}': 'plugin_x:X'}}"
    plugins = Plugins([plugin("greedy", code)])
    assert "has that name" in str(info_of(plugins, "greedy").error)
    assert set(plugins.action_models()) == {*BUILT_IN, "log", "webhook"}


def test_a_plugin_without_hooks_is_fine(plugin) -> None:
    """The earlier flowdapt's plugins are packages of stages: nothing to declare."""
    plugins = Plugins([plugin("nowcast", "def stage(x): return x")])
    info = info_of(plugins, "nowcast")
    assert (info.enabled, info.hooks, info.error) == (True, (), None)


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a distribution as pip would: a package of stages with an entry point."""
    site = tmp_path / "site"
    about = site / "nowcast-0.4.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nowcast\nVersion: 0.4.1\n")
    (about / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nnowcast = nowcast_plugin\n")
    (site / "nowcast_plugin").mkdir()
    (site / "nowcast_plugin" / "__init__.py").write_text("")
    (site / "nowcast_plugin" / "stages.py").write_text("def create(n): return list(range(n))\n")
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.mark.usefixtures("distribution")
def test_an_installed_distribution_is_found_with_its_version() -> None:
    info = info_of(Plugins(), "nowcast")
    assert (info.distribution, info.version, info.enabled) == ("nowcast", "0.4.1", True)


def test_an_installed_distributions_stages_can_be_imported(distribution: Path) -> None:
    code = "from nowcast_plugin.stages import create; print(create(3))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(distribution)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[0, 1, 2]"


def test_plugins_load_no_executor_and_no_broker() -> None:
    code = """
import sys
from flowdapt.plugins.manager import Plugins
Plugins([]).plugins()
print([m for m in sys.modules if m.startswith("flowdapt.plugins.") and m.count(".") > 2])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_group_is_the_one_that_installed_plugins_use() -> None:
    assert ENTRY_POINT_GROUP == "flowdapt.plugins"
    assert importlib.metadata.entry_points(group=ENTRY_POINT_GROUP) is not None
