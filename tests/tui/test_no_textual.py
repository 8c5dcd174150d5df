from __future__ import annotations

import subprocess
import sys


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_model_knows_no_terminal_and_no_socket() -> None:
    code = """if True:
        import importlib, pkgutil, flowdapt.tui.model as model
        for one in pkgutil.iter_modules(model.__path__):
            importlib.import_module(f"{model.__name__}.{one.name}")"""
    assert not loaded_by(code) & {
        "textual",
        "httpx",
        "asyncio.events",
        "flowdapt.client.async_client",
    }


def test_what_is_loaded_for_the_first_picture_holds_no_client() -> None:
    assert not loaded_by("import flowdapt.tui.main, flowdapt.tui.screens.pulse") & {"httpx", "trio"}


def test_help_of_the_program_loads_no_textual() -> None:
    code = "import sys; sys.argv=['flowdapt','--help']\nfrom flowdapt.cli.main import main\nmain()"
    assert "textual" not in loaded_by(code)
