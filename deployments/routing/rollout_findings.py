"""How a new version does beside the old one: what is sure, and what it looks like. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import log

from deployments.routing.latency_histogram import LatencyHistogram
from deployments.routing.rollout import RolloutPlan
from deployments.routing.sequential_test import NO_TRIALS, Trials, evidence_above, evidence_worse

ALPHA = 0.01
"""The probability, of a whole rollout, to go back although the new version is no worse than it may be."""

QUANTILES = (0.5, 0.9)


class Measure(StrEnum):
    """What is measured of a request that went well at the first attempt."""

    TOTAL = "total"
    FIRST_TOKEN = "first_token"  # noqa: S105  no secret


# Of one step: against the limit, against the old version, and both ends of each latency ratio.
_NUM_TESTS = 2 + 2 * len(Measure) * len(QUANTILES)


@dataclass(frozen=True, slots=True)
class VersionStats:
    """What became of the requests to one version. Latencies are in milliseconds."""

    attempts: Trials = NO_TRIALS
    """``hits`` are those that failed."""
    latencies: Mapping[Measure, LatencyHistogram] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepStats:
    """Of one step. At 100%, where the old version has no requests, it is that of the step before."""

    old: VersionStats = VersionStats()
    new: VersionStats = VersionStats()


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a decision rests on. ``latency_ratios``: new over old, by measure and quantile (``total_p90``)."""

    old_requests: int
    old_errors: int
    new_requests: int
    new_errors: int
    latency_ratios: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Findings:
    """``broken``: what the new version surely does not hold. ``unmet``: why it cannot go on yet."""

    broken: tuple[str, ...]
    unmet: tuple[str, ...]
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Of one quantile of one measure, new over old: as measured, and what the true one surely exceeds."""

    name: str
    measured: float
    surely_above: float

    def __str__(self) -> str:
        return f"latency {self.name} {self.measured:.2f} times that of the old version"


def find(stats: StepStats, plan: RolloutPlan) -> Findings:
    """Compare, each of a rollout's tests at an equal part of ALPHA."""
    enough = log(len(plan.steps) * _NUM_TESTS / ALPHA)
    ratios = tuple(_ratios(stats, enough))
    return Findings(
        broken=(*_broken_errors(stats, plan, enough), *_broken_latencies(ratios, plan)),
        unmet=(*_lacking(stats, plan), *_unmet(stats, plan, ratios)),
        numbers=_numbers(stats, ratios),
    )


def _broken_errors(stats: StepStats, plan: RolloutPlan, enough: float) -> Iterator[str]:
    new, old = stats.new.attempts, stats.old.attempts
    if evidence_above(new, plan.max_error_rate) >= enough:
        yield f"{_error_rate(new)}, surely above {_percent(plan.max_error_rate)}"
    if evidence_worse(new, old) >= enough:
        yield f"{_error_rate(new)}, surely above that of the old version: {_error_rate(old)}"


def _broken_latencies(ratios: tuple[_Ratio, ...], plan: RolloutPlan) -> Iterator[str]:
    for ratio in ratios:
        if ratio.surely_above > plan.max_latency_ratio:
            yield f"{ratio}, surely above {plan.max_latency_ratio:g} times"


def _lacking(stats: StepStats, plan: RolloutPlan) -> Iterator[str]:
    for name, each in (("new", stats.new), ("old", stats.old)):
        lacking = plan.min_requests - each.attempts.total
        if lacking > 0:
            yield f"waiting for {lacking} more requests to the {name} version"


def _unmet(stats: StepStats, plan: RolloutPlan, ratios: tuple[_Ratio, ...]) -> Iterator[str]:
    new = stats.new.attempts
    if new.rate > plan.max_error_rate:
        yield f"{_error_rate(new)}, above {_percent(plan.max_error_rate)}, which may be chance"
    for ratio in ratios:
        if ratio.measured > plan.max_latency_ratio:
            yield f"{ratio}, above {plan.max_latency_ratio:g} times, which may be chance"


def _ratios(stats: StepStats, enough: float) -> Iterator[_Ratio]:
    for measure in Measure:
        old, new = stats.old.latencies.get(measure), stats.new.latencies.get(measure)
        for quantile in QUANTILES:
            over = new.quantile_ms(quantile) if new else None
            under = old.quantile_ms(quantile) if old else None
            if old and new and over and under:
                surely = new.surely_above_ms(quantile, enough) / old.surely_within_ms(quantile, enough)
                yield _Ratio(f"{measure}_p{quantile * 100:.0f}", over / under, surely)


def _numbers(stats: StepStats, ratios: tuple[_Ratio, ...]) -> Numbers:
    old, new = stats.old.attempts, stats.new.attempts
    measured = {ratio.name: round(ratio.measured, 3) for ratio in ratios}
    return Numbers(old.total, old.hits, new.total, new.hits, measured)


def _error_rate(attempts: Trials) -> str:
    return f"error rate {_percent(attempts.rate)} ({attempts.hits} of {attempts.total} requests)"


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"
