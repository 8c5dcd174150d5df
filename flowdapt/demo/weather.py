"""Forecast the weather at New York's airports a day ahead: the stages of two workflows.

`weather_train` fits one model per series and stores it; `weather_predict` forecasts with it.
How is decided in `forecasting`; when and where, by the workflows and their executor.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from flowdapt import artifacts, get_run_context
from flowdapt.demo import forecasting

METRICS_ARTIFACT = "weather-metrics"
HOLDOUT_ARTIFACT = "weather-holdout"
FORECAST_ARTIFACT = "weather-forecast"


class Series(TypedDict):
    """What is forecast: one variable at one station."""

    name: str
    station: str
    variable: str


# ------------------------------------------------- stages of `weather_train`


def list_series() -> list[Series]:
    """List the series to forecast."""
    chosen = get_run_context().config["series"]
    known = [*forecasting.STATIONS, *forecasting.UNITS]
    unknown = sorted({*chosen["stations"], *chosen["variables"]} - set(known))
    if unknown:
        raise ValueError(f"unknown in series: {', '.join(unknown)}; known: {', '.join(known)}")
    return [
        {"name": f"{station}-{variable}", "station": station, "variable": variable}
        for station in chosen["stations"]
        for variable in chosen["variables"]
    ]


def build_features(series: Series) -> dict[str, Any]:
    """Read one series and split its rows in time."""
    context = get_run_context()
    settings = context.config["windows"]
    windows = forecasting.make_windows(
        forecasting.read_observations(series["station"]),
        series["variable"],
        horizon=settings["horizon"],
        lags=settings["lags"],
    )
    train, holdout = forecasting.split_in_time(windows, holdout=settings["holdout"])
    context.logger.info("%s: %d rows", series["name"], len(windows["hours"]))
    return {"series": series, "lags": settings["lags"], "train": train, "holdout": holdout}


def train_model(features: dict[str, Any]) -> dict[str, Any]:
    """Choose the penalty on the training rows and fit one series' model."""
    context = get_run_context()
    settings, name = context.config["model"], features["series"]["name"]
    alphas = settings["alphas"]

    def tell(step: int, error: float) -> None:
        context.progress(step + 1, len(alphas))
        context.metric(f"validation_mae.{name}", error, step=step)

    with threadpool_limits(limits=1):  # the executor shares out the cores, not the algebra
        alpha = forecasting.choose_alpha(
            features["train"], alphas=alphas, folds=settings["folds"], tell=tell
        )
        model = forecasting.fit(features["train"], alpha=alpha)
    context.logger.info("%s: alpha %g", name, alpha)
    targets = features["train"]["targets"]
    return {
        "series": features["series"],
        "lags": features["lags"],
        "model": model,
        "alpha": alpha,
        "usual": float(targets.mean()),
        "rows": len(targets),
        "holdout": features["holdout"],
    }


def evaluate(fitted: dict[str, Any]) -> dict[str, Any]:
    """Score one model on the rows it has not seen."""
    context = get_run_context()
    series, holdout = fitted["series"], fitted["holdout"]
    scores = forecasting.score(fitted["model"], holdout, usual=fitted["usual"])
    context.metric(f"model_mae.{series['name']}", scores["model_mae"], step=0)
    context.logger.info("%s: %.1f %% better", series["name"], scores["improvement_pct"])
    return {
        "row": {
            "series": series["name"],
            "unit": forecasting.UNITS[series["variable"]],
            "rows": fitted["rows"] + len(holdout["hours"]),
            **{name: round(value, 4) for name, value in scores.items()},
        },
        "last_day": {
            "actual": holdout["targets"][-1].tolist(),
            "model": forecasting.predict(fitted["model"], holdout["inputs"][-1:])[0].tolist(),
            "same_hour": holdout["day_before"][-1].tolist(),
        },
    }


def report(evaluations: list[dict[str, Any]], fitted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Store the models, the metrics and the last day's forecasts; return the metrics table."""
    rows = []
    for evaluation, one in zip(evaluations, fitted, strict=True):
        artifact = f"weather-model-{one['series']['name']}"
        artifacts.put(
            artifact,
            {key: one[key] for key in ("series", "lags", "model")},
            format="pickle",
            metadata={"alpha": one["alpha"], **evaluation["row"]},
        )
        rows.append({**evaluation["row"], "artifact": artifact})
    tables = [
        pd.DataFrame({"series": one["row"]["series"], **one["last_day"]}) for one in evaluations
    ]
    artifacts.put(HOLDOUT_ARTIFACT, pd.concat(tables, ignore_index=True), format="frame")
    artifacts.put(METRICS_ARTIFACT, rows, format="json")
    return rows


# ----------------------------------------------- stages of `weather_predict`


def stored_models(at: str | None = None) -> list[dict[str, Any]]:
    """List the models that `weather_train` stored, and the hour to forecast from."""
    return [{"artifact": row["artifact"], "at": at} for row in artifacts.get(METRICS_ARTIFACT)]


def forecast(item: dict[str, Any]) -> dict[str, Any]:
    """Forecast one series with its stored model."""
    stored = artifacts.get(item["artifact"])
    series: Series = stored["series"]
    observations = forecasting.read_observations(series["station"])
    inputs = forecasting.make_inputs(observations, series["variable"], lags=stored["lags"])
    known = _at(inputs.dropna(), item["at"])
    values = forecasting.predict(stored["model"], known.to_numpy(np.float64))[0]
    times = pd.date_range(known.index[0], periods=len(values) + 1, freq="h")[1:]
    return {
        "series": series["name"],
        "times": [time.isoformat() for time in times],
        "values": [round(float(value), 2) for value in values],
    }


def _at(inputs: pd.DataFrame, at: str | None) -> pd.DataFrame:
    if at is None:
        return inputs.tail(1)
    time = pd.to_datetime(at, utc=True).floor("h")
    if time not in inputs.index:
        raise ValueError(f"not enough is known at {at}: try an hour from January 3 to December 30")
    return inputs.loc[[time]]


def forecast_table(forecasts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Store the forecasts as one table and return them."""
    table = pd.concat([pd.DataFrame(one) for one in forecasts], ignore_index=True)
    artifacts.put(FORECAST_ARTIFACT, table, format="frame", metadata={"series": len(forecasts)})
    return forecasts
