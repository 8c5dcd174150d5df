"""The demo's numbers: no row knows its future, and the comparison can be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from flowdapt.demo import forecasting

if TYPE_CHECKING:
    from flowdapt.demo.forecasting import Windows

SERIES = [(s, v) for s in forecasting.STATIONS for v in ("temperature", "wind_speed")]
HORIZON, LAGS, HOLDOUT, ALPHA = 24, 48, 0.25, 300.0


@pytest.fixture(scope="module")
def observations() -> dict[str, pd.DataFrame]:
    return {station: forecasting.read_observations(station) for station in forecasting.STATIONS}


@pytest.fixture(scope="module")
def splits(observations: dict[str, pd.DataFrame]) -> dict[tuple[str, str], tuple[Windows, Windows]]:
    return {
        (station, variable): forecasting.split_in_time(
            forecasting.make_windows(observations[station], variable, horizon=HORIZON, lags=LAGS),
            holdout=HOLDOUT,
        )
        for station, variable in SERIES
    }


def improvement(train: Windows, holdout: Windows) -> float:
    model = forecasting.fit(train, alpha=ALPHA)
    usual = float(train["targets"].mean())
    return forecasting.score(model, holdout, usual=usual)["improvement_pct"]


# ------------------------------------------------------------------------- data


@pytest.mark.parametrize("station", forecasting.STATIONS)
def test_observations_have_every_hour_of_the_year_once(
    observations: dict[str, pd.DataFrame], station: str
) -> None:
    hours = observations[station].index
    assert len(hours) > 8_700
    assert set(hours.to_series().diff().dropna()) == {pd.Timedelta(hours=1)}


def test_observations_are_metric_and_plausible(observations: dict[str, pd.DataFrame]) -> None:
    for frame in observations.values():
        assert frame["temperature"].between(-30, 45).sum() == frame["temperature"].count() > 8_600
        assert frame["wind_speed"].max() < 30
        assert frame["pressure"].dropna().between(950, 1_060).all()


def test_stations_are_three_different_series(observations: dict[str, pd.DataFrame]) -> None:
    newark, kennedy, _ = (frame["temperature"] for frame in observations.values())
    assert (newark - kennedy).abs().mean() > 0.5


# --------------------------------------------------------------------- features


def test_inputs_know_nothing_of_the_future(observations: dict[str, pd.DataFrame]) -> None:
    now = 4_000
    one_future = observations["JFK"].copy()
    one_future.iloc[now - 1 : now + 1] = np.nan  # a gap, which only the past may fill
    other_future = one_future.copy()
    other_future.iloc[now + 1 :] = -999.0
    first = forecasting.make_inputs(one_future, "temperature", lags=LAGS)
    second = forecasting.make_inputs(other_future, "temperature", lags=LAGS)
    pd.testing.assert_frame_equal(first.iloc[: now + 1], second.iloc[: now + 1])
    assert not first.iloc[now + 1 :].equals(second.iloc[now + 1 :])


def test_targets_are_the_hours_that_followed_and_the_day_before_is_a_day_earlier() -> None:
    frame = counting_frame(200)
    windows = forecasting.make_windows(frame, "temperature", horizon=30, lags=3)
    now = windows["inputs"][:, 0]
    steps = np.arange(1, 31)
    np.testing.assert_array_equal(windows["targets"], now[:, None] + steps)
    np.testing.assert_array_equal(windows["hours"], now)
    np.testing.assert_array_equal(windows["day_before"][:, :24], windows["targets"][:, :24] - 24)
    # Beyond a day ahead yesterday's hour has not come either: the day before it stands in.
    np.testing.assert_array_equal(windows["day_before"][:, 24:], windows["targets"][:, 24:] - 48)


def test_a_row_with_a_missing_target_is_left_out() -> None:
    frame = counting_frame(200)
    frame.loc[frame.index[100], "temperature"] = np.nan
    windows = forecasting.make_windows(frame, "temperature", horizon=5, lags=3)
    assert set(range(95, 100)).isdisjoint(windows["hours"].tolist())
    assert {94, 100} <= set(windows["hours"].tolist())


def counting_frame(rows: int) -> pd.DataFrame:
    """Make observations that count the hours, so that a value tells when it was seen."""
    hours = pd.date_range("2013-01-01", periods=rows, freq="h", tz="UTC")
    columns = ("temperature", "pressure", "humidity")
    return pd.DataFrame({name: np.arange(rows, dtype=float) for name in columns}, index=hours)


def test_nothing_that_training_sees_reaches_into_the_holdout(
    splits: dict[tuple[str, str], tuple[Windows, Windows]],
) -> None:
    for train, holdout in splits.values():
        assert train["hours"].max() + HORIZON < holdout["hours"].min()
        assert 0.2 < len(holdout["hours"]) / (len(train["hours"]) + len(holdout["hours"])) < 0.3


def test_validation_rows_come_after_the_rows_they_are_judged_by(
    splits: dict[tuple[str, str], tuple[Windows, Windows]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = splits["EWR", "temperature"]
    seen: list[tuple[int, int]] = []
    real_fit, real_predict = forecasting.fit, forecasting.predict
    row_of = {
        row.tobytes(): int(hour) for row, hour in zip(train["inputs"], train["hours"], strict=True)
    }

    def fit(part: Windows, *, alpha: float) -> object:
        seen.append((int(part["hours"].max()), -1))
        return real_fit(part, alpha=alpha)

    def predict(model: object, inputs: np.ndarray) -> np.ndarray:
        seen[-1] = (seen[-1][0], row_of[inputs[0].tobytes()])
        return real_predict(model, inputs)

    monkeypatch.setattr(forecasting, "fit", fit)
    monkeypatch.setattr(forecasting, "predict", predict)
    forecasting.choose_alpha(train, alphas=[1.0], folds=3)
    assert len(seen) == 3
    assert all(last_fitted + HORIZON <= first_judged for last_fitted, first_judged in seen)


# ------------------------------------------------------------------- comparison


@pytest.mark.parametrize("series", SERIES, ids="-".join)
def test_the_model_beats_the_best_naive_forecast_on_each_series(
    splits: dict[tuple[str, str], tuple[Windows, Windows]], series: tuple[str, str]
) -> None:
    assert improvement(*splits[series]) > 10


@pytest.mark.parametrize("series", SERIES, ids="-".join)
def test_a_model_of_shuffled_targets_does_not_beat_it(
    splits: dict[tuple[str, str], tuple[Windows, Windows]], series: tuple[str, str]
) -> None:
    train, holdout = splits[series]
    shuffled = np.random.default_rng(13).permutation(train["targets"])
    assert improvement({**train, "targets": shuffled}, holdout) < 2


def test_the_naive_error_is_that_of_the_best_of_three() -> None:
    holdout: Windows = {
        "inputs": np.array([[10.0], [20.0]]),
        "targets": np.array([[11.0], [23.0]]),
        "day_before": np.array([[11.0], [22.0]]),
        "hours": np.array([0, 1]),
    }
    errors = forecasting.naive_errors(holdout, usual=17.0)
    assert errors == {"no_change_mae": 2.0, "same_hour_mae": 0.5, "usual_mae": 6.0}
    model = forecasting.fit(holdout, alpha=1e9)
    scores = forecasting.score(model, holdout, usual=17.0)
    assert scores["naive_mae"] == 0.5
    assert scores["model_mae"] == pytest.approx(1.0)
    assert scores["improvement_pct"] == pytest.approx(-100.0)


def test_the_alpha_with_the_least_validation_error_is_chosen(
    splits: dict[tuple[str, str], tuple[Windows, Windows]],
) -> None:
    train, _ = splits["LGA", "temperature"]
    heard: list[tuple[int, float]] = []
    alphas = [1e7, 300.0, 1e-3]
    chosen = forecasting.choose_alpha(
        train, alphas=alphas, folds=3, tell=lambda step, error: heard.append((step, error))
    )
    assert [step for step, _ in heard] == [0, 1, 2]
    assert chosen == alphas[min(heard, key=lambda pair: pair[1])[0]] == 300.0
