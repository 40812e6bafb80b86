"""How many requests there will be, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from deployments.scaling.forecast import Look, Past, follow

_EVERY_S = 1.0


def followed(rates: Iterable[float], past: Past | None = None, start: float = 0.0) -> Past:
    """The past after a look each second at those arrivals."""
    for number, rate in enumerate(rates):
        look = Look(start + number, None if past is None else _EVERY_S, rate, 5.0, 4.0, 20.0)
        past = follow(past, look)
    assert past is not None
    return past


def test_the_first_look_is_all_that_is_known() -> None:
    past = followed([3.0])
    assert (past.rate, past.offered, past.error) == (3.0, 12.0, 0.0)


def test_a_steady_load_is_forecast_without_error() -> None:
    past = followed([5.0] * 600)
    assert past.rate == pytest.approx(5.0)
    assert past.offered == pytest.approx(20.0)
    assert (past.error, past.dispersion) == (0.0, 1.0)


def test_chance_moves_the_rate_slowly() -> None:
    past = followed([6.5], followed([5.0] * 100), start=100)
    assert 5.0 < past.rate < 5.1


def test_a_step_counts_at_once() -> None:
    past = followed([20.0], followed([5.0] * 100), start=100)
    assert past.rate == 20.0


def test_less_counts_slowly() -> None:
    past = followed([0.0] * 60, followed([5.0] * 100), start=100)
    assert past.rate == pytest.approx(5.0 / math.e, rel=0.01)


def test_bursts_make_forecasts_uncertain_and_steps_harder_to_see() -> None:
    bursty = followed(([8.0] * 10 + [2.0] * 10) * 60)
    steady = followed([5.0] * 1200)
    assert math.sqrt(bursty.error) > 4
    assert bursty.dispersion > 2
    assert bursty.dispersion > steady.dispersion


def test_the_error_is_forgotten() -> None:
    bursty = followed(([8.0] * 10 + [2.0] * 10) * 60)
    calm = followed([5.0] * 1800, bursty, start=1200)
    assert calm.error < 0.1 * bursty.error


def test_few_forecasts_are_kept() -> None:
    past = followed([5.0] * 600)
    assert len(past.forecasts) <= 12
    assert past.forecasts[0][0] >= 600 - 20 - 5
