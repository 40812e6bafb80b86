"""How much will be in the engines when a replica that is decided on now takes part, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deployments.scaling.smoothing import drift

_RATE_OVER_S = 60.0
_ERROR_OVER_S = 600.0
# Standard deviations that are no chance any more, neither of Poisson arrivals nor of such as there have been.
_NO_CHANCE = 3.5
_MOST_SQUARE = 25.0
_NUM_KEPT = 8


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of arrivals.

    ``rate``: their mean, a second; ``dispersion``: how much more they vary than Poisson's, whose variance is the
    mean. ``rising_until``: until then a higher rate counts at once. ``offered``: the
    requests that would be in engines that are never full. ``error``: the mean square of what was more than had
    been forecast; ``forecasts``: (time, forecast), the oldest first.
    """

    rate: float = 0.0
    dispersion: float = 1.0
    rising_until: float = 0.0
    offered: float = 0.0
    error: float = 0.0
    forecasts: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """At ``now``, ``elapsed_s`` after the last one: arrivals a second over ``window_s``, and each one's time."""

    now: float
    elapsed_s: float | None
    arrivals_per_s: float
    window_s: float
    service_s: float
    ahead_s: float


def follow(past: Past | None, look: Look) -> Past:
    """The past with one look more."""
    if past is None:
        offered = look.arrivals_per_s * look.service_s
        return Past(look.arrivals_per_s, offered=offered, forecasts=((look.now, offered),))
    rate, rising_until = _rate(past, look)
    offered = drift(past.offered, look.arrivals_per_s * look.service_s, look.elapsed_s, look.service_s)
    more = max(0.0, offered - _forecast_then(past, look))
    error = drift(past.error, more * more, look.elapsed_s, _ERROR_OVER_S)
    forecasts = _kept(past, look, rate * look.service_s)
    return Past(rate, _dispersion(past, look), rising_until, offered, error, forecasts)


def _rate(past: Past, look: Look) -> tuple[float, float]:
    """The slow mean, until more came than chance explains: then what comes now, for as long as that is new."""
    expected, came = past.rate * look.window_s, look.arrivals_per_s * look.window_s
    rising_until = past.rising_until
    if came - expected > _NO_CHANCE * math.sqrt(past.dispersion * max(1.0, expected)):
        rising_until = look.now + look.window_s
    slow = drift(past.rate, look.arrivals_per_s, look.elapsed_s, _RATE_OVER_S)
    if look.now > rising_until:
        return slow, rising_until
    return max(slow, look.arrivals_per_s), rising_until


def _dispersion(past: Past, look: Look) -> float:
    """The mean of the squares of the deviations over the mean, of which no single one says much."""
    expected, came = past.rate * look.window_s, look.arrivals_per_s * look.window_s
    square = min((came - expected) ** 2 / max(1.0, expected), _MOST_SQUARE)
    return max(1.0, drift(past.dispersion, square, look.elapsed_s, _ERROR_OVER_S))


def _forecast_then(past: Past, look: Look) -> float:
    """What was forecast ``ahead_s`` ago, or as long ago as is known."""
    then = [forecast for at, forecast in past.forecasts if at <= look.now - look.ahead_s]
    return then[-1] if then else past.forecasts[0][1]


def _kept(past: Past, look: Look, forecast: float) -> tuple[tuple[float, float], ...]:
    """About ``_NUM_KEPT`` forecasts over ``ahead_s``, and the one before them."""
    kept = past.forecasts
    if look.now >= kept[-1][0] + look.ahead_s / _NUM_KEPT:
        kept = (*kept, (look.now, forecast))
    while len(kept) > 1 and kept[1][0] <= look.now - look.ahead_s:
        kept = kept[1:]
    return kept
