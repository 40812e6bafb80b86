"""Whether one rate is above another, for those who look as often as they like. Pure.

Evidence is the logarithm of a ratio: how likely the outcomes are under rates that are averaged over, to how likely
they are at most if the claim is wrong. If it is wrong, the evidence ever exceeds ``log(1 / alpha)`` with a
probability of at most ``alpha``, however often and whenever one looks (Ville's inequality).

Rates are averaged over a Beta(1/2, 1/2). Sources: Robbins, "Statistical methods related to the law of the iterated
logarithm", 1970; Wasserman, Ramdas and Balakrishnan, "Universal inference", 2020, section 8.
"""

from __future__ import annotations

from math import lgamma, log, pi
from typing import NamedTuple


class Trials(NamedTuple):
    """``hits`` of ``total`` trials."""

    hits: int
    total: int

    @property
    def rate(self) -> float:
        """0 where there are none."""
        return self.hits / self.total if self.total else 0.0


NO_TRIALS = Trials(0, 0)


def evidence_above(trials: Trials, limit: float) -> float:
    """For the claim that the rate exceeds ``limit``."""
    return _averaged(trials) - _likelihood(trials, min(limit, trials.rate))


def evidence_worse(trials: Trials, other: Trials) -> float:
    """For the claim that the rate of ``trials`` exceeds that of ``other``."""
    averaged = _averaged(trials) + _averaged(other)
    if trials.rate <= other.rate:
        return averaged - _likelihood(trials, trials.rate) - _likelihood(other, other.rate)
    both = Trials(trials.hits + other.hits, trials.total + other.total)
    return averaged - _likelihood(both, both.rate)


def _averaged(trials: Trials) -> float:
    hits, total = trials
    return lgamma(hits + 0.5) + lgamma(total - hits + 0.5) - lgamma(total + 1) - log(pi)


def _likelihood(trials: Trials, rate: float) -> float:
    hits, total = trials
    return _times_log(hits, rate) + _times_log(total - hits, 1 - rate)


def _times_log(count: int, rate: float) -> float:
    """0 where nothing was counted, even of what cannot be."""
    return count * log(rate) if count else 0.0
