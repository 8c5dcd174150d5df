"""The demo and the examples run for real, in this process, and their figures hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowdapt import demo, execute_workflow
from flowdapt.domain.documents import read
from flowdapt.embedded import WorkflowFailed

EXAMPLES = Path(__file__).parents[2] / "examples"
WEATHER = EXAMPLES / "weather"
NOWCAST = EXAMPLES / "nowcast_like"
ORDERS = EXAMPLES / "retry_and_partial"


def run(project: Path, workflow: str, artifacts: Path, input: dict[str, Any] | None = None) -> Any:  # noqa: A002
    (documents,) = project.glob("*.yaml")
    return execute_workflow(
        documents,
        input,
        name=workflow,
        user_modules=project / "user_modules",
        artifacts_url=artifacts.as_uri(),
    )


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def metrics(artifacts: Path) -> list[dict[str, Any]]:
    documents, _ = read(demo.documents())
    values = [document.value for document in documents]
    result = execute_workflow(values, name=demo.WORKFLOW, artifacts_url=artifacts.as_uri())
    return list(result)


def test_the_demo_beats_the_naive_forecast_on_every_series(metrics: list[dict[str, Any]]) -> None:
    assert len({row["series"] for row in metrics}) == len(metrics) == 6
    for row in metrics:
        assert row["rows"] > 8_000
        assert 0 < row["model_mae"] < row["naive_mae"], row["series"]
        assert row["improvement_pct"] > 10, row["series"]


def test_the_naive_error_is_the_least_of_the_three_in_the_row(
    metrics: list[dict[str, Any]],
) -> None:
    for row in metrics:
        others = [row["no_change_mae"], row["same_hour_mae"], row["usual_mae"]]
        assert row["naive_mae"] == min(others)
        better = 100 * (1 - row["model_mae"] / row["naive_mae"])
        assert row["improvement_pct"] == pytest.approx(better, abs=0.01)


def test_the_result_of_the_demo_is_the_table_that_is_printed(metrics: list[dict[str, Any]]) -> None:
    headings, rows = demo.describe_result(metrics)
    assert len(rows) == len(metrics) + 1
    assert all(len(row) == len(headings) for row in rows)


def test_the_demo_stores_a_model_per_series_and_what_it_computed(
    metrics: list[dict[str, Any]], artifacts: Path
) -> None:
    stored = {path.name for path in artifacts.rglob("weather-*") if path.is_dir()}
    assert {row["artifact"] for row in metrics} < stored
    assert all(name.startswith(demo.ARTIFACT_PREFIX) for name in stored)


def test_the_stored_models_forecast_the_hours_after_the_one_asked_for(
    metrics: list[dict[str, Any]], artifacts: Path
) -> None:
    documents, _ = read(demo.documents())
    forecasts = execute_workflow(
        [document.value for document in documents],
        {"at": "2013-11-28T17:00Z"},
        name=demo.PREDICT_WORKFLOW,
        artifacts_url=artifacts.as_uri(),
    )
    assert [one["series"] for one in forecasts] == [row["series"] for row in metrics]
    for one in forecasts:
        assert one["times"][0] == "2013-11-28T18:00:00+00:00"
        assert one["times"][-1] == "2013-11-29T17:00:00+00:00"
        assert len(one["values"]) == len(one["times"]) == 24
    assert len({tuple(one["values"]) for one in forecasts}) == len(forecasts)


def test_an_hour_outside_the_data_fails_with_the_hours_that_there_are(
    metrics: list[dict[str, Any]], artifacts: Path
) -> None:
    documents, _ = read(demo.documents())
    with pytest.raises(WorkflowFailed, match="January 3 to December 30"):
        execute_workflow(
            [document.value for document in documents],
            {"at": "2014-11-28T17:00Z"},
            name=demo.PREDICT_WORKFLOW,
            artifacts_url=artifacts.as_uri(),
        )


def test_the_example_computes_what_the_packaged_demo_does(
    metrics: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert run(WEATHER, "weather_train", tmp_path) == metrics


def test_a_series_that_does_not_exist_is_named(tmp_path: Path) -> None:
    documents, _ = read(demo.documents())
    with pytest.raises(WorkflowFailed, match="unknown in series: humidity"):
        execute_workflow(
            [document.value for document in documents],
            name=demo.WORKFLOW,
            config={"series": {"variables": ["humidity"]}},
            artifacts_url=tmp_path.as_uri(),
        )


def test_the_nowcast_keeps_the_place_of_the_city_that_failed(tmp_path: Path) -> None:
    result = run(NOWCAST, "build_features", tmp_path)
    assert result == {"stored": ["Vienna", "Lisbon", "Oslo"], "missing": 1}


def test_the_nowcast_trains_the_cities_of_its_input_with_the_merged_config(tmp_path: Path) -> None:
    run(NOWCAST, "build_features", tmp_path)
    result = run(NOWCAST, "train_models", tmp_path, {"cities": ["Oslo", "Vienna"]})
    assert [one["city"] for one in result["cities"]] == ["Oslo", "Vienna"]
    for one in result["cities"]:
        assert one["parameters"] == {"level": 0.05, "season": 0.5}
        assert one["error"] < 0.8 * one["naive_error"]
    assert result["best"] == min(result["cities"], key=lambda one: one["error"])["city"]


def test_a_city_without_readings_fails_the_training(tmp_path: Path) -> None:
    run(NOWCAST, "build_features", tmp_path)
    with pytest.raises(WorkflowFailed, match="nowcast-Atlantis") as failure:
        run(NOWCAST, "train_models", tmp_path, {"cities": ["Oslo", "Atlantis"]})
    assert failure.value.run.error is not None
    assert failure.value.run.error.index == 1


def test_a_busy_file_is_read_again_and_a_broken_one_leaves_its_place_empty(tmp_path: Path) -> None:
    result = run(ORDERS, "import_orders", tmp_path)
    assert result == {
        "total": pytest.approx(34.0),
        "read": ["monday.csv", "tuesday.csv", "thursday.csv"],
        "missing": 1,
    }
