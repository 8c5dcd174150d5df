"""Nowcasts for a few cities: fetch, keep as a shared object, train one small model per city."""

import math
import random
from itertools import pairwise

from flowdapt import get_run_context, objects

CITIES = {"Vienna": 9.0, "Lisbon": 16.0, "Oslo": 4.0, "Atlantis": None}
DAY = 24


def create_city_list() -> list[str]:
    """List the cities."""
    return list(CITIES)


def fetch_city(city: str) -> dict:
    """Fetch one city's hourly temperatures: made up here, an API call in your project."""
    mean = CITIES[city]
    if mean is None:
        raise LookupError(f"{city} has no weather station")
    noise = random.Random(city)  # noqa: S311 - made-up weather, the same in every run
    hours = get_run_context().config["hours"]
    values = [mean + 6 * math.sin(math.tau * h / DAY) + noise.gauss(0, 0.8) for h in range(hours)]
    return {"city": city, "values": values}


def store_dataset(cities: list) -> dict:
    """Keep each city's readings under a key; a city that failed is None in its place."""
    fetched = [city for city in cities if city is not None]
    for city in fetched:
        objects.put(f"nowcast-{city['city']}", city["values"], strategy="artifact")
    return {"stored": [city["city"] for city in fetched], "missing": len(cities) - len(fetched)}


def train_city(city: str) -> dict:
    """Follow level and daily season, hour by hour; compare with 'the same as an hour ago'."""
    parameters = get_run_context().config["model_train_parameters"]
    values = objects.get(f"nowcast-{city}", strategy="artifact")
    errors = one_step_errors(values, level=parameters["level"], season=parameters["season"])
    naive = [abs(now - before) for before, now in pairwise(values)]
    warm_up = 3 * DAY
    return {
        "city": city,
        "parameters": dict(parameters),
        "error": _mean(errors[warm_up:]),
        "naive_error": _mean(naive[warm_up - 1 :]),
    }


def one_step_errors(values: list[float], *, level: float, season: float) -> list[float]:
    """Return how far each hour's nowcast, made an hour before, was off."""
    base, daily, errors = values[0], [0.0] * DAY, []
    for hour, value in enumerate(values):
        slot = hour % DAY
        errors.append(abs(base + daily[slot] - value))
        new_base = level * (value - daily[slot]) + (1 - level) * base
        daily[slot] = season * (value - new_base) + (1 - season) * daily[slot]
        base = new_base
    return errors


def compare(trained: list[dict]) -> dict:
    """Say which city is nowcast best."""
    best = min(trained, key=lambda one: one["error"])
    return {"best": best["city"], "cities": trained}


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
