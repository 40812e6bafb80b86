"""The level of the tests: exactly, over all outcomes of few trials, and by simulation of one who looks always."""

from __future__ import annotations

from math import comb, exp, log, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.sequential_test import NO_TRIALS, Trials, evidence_above, evidence_worse

COUNTS = st.integers(0, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
ALPHA = 0.05


def probability(hits: int, total: int, rate: float) -> float:
    return float(comb(total, hits) * rate**hits * (1 - rate) ** (total - hits))


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.2])
def test_evidence_that_is_wrong_is_one_on_average(rate: float) -> None:
    """Markov's inequality then bounds how often it is large: this is what makes the level."""
    expected = sum(probability(hits, 40, rate) * exp(evidence_above(Trials(hits, 40), 0.2)) for hits in range(41))
    assert expected <= 1 + 1e-9
    assert rate < 0.2 or expected > 0.5  # at the limit itself little is given away


@pytest.mark.parametrize(("rate", "other"), [(0.01, 0.01), (0.1, 0.1), (0.05, 0.2)])
def test_evidence_between_two_that_is_wrong_is_one_at_most(rate: float, other: float) -> None:
    expected = sum(
        probability(hits, 15, rate)
        * probability(others, 40, other)
        * exp(evidence_worse(Trials(hits, 15), Trials(others, 40)))
        for hits in range(16)
        for others in range(41)
    )
    assert expected <= 1 + 1e-9


@given(COUNTS, st.floats(0.001, 0.999))
def test_evidence_grows_with_what_speaks_for_it(counts: tuple[int, int], limit: float) -> None:
    hits, total = counts
    if hits < total and hits / total > limit:
        assert evidence_above(Trials(hits + 1, total), limit) > evidence_above(Trials(hits, total), limit)
    elif hits / max(1, total) <= limit:
        assert evidence_above(Trials(hits, total), limit) <= 1e-6


@given(COUNTS, COUNTS)
def test_of_two_versions_at_most_one_is_worse(counts: tuple[int, int], others: tuple[int, int]) -> None:
    one, other = Trials(*counts), Trials(*others)
    assert min(evidence_worse(one, other), evidence_worse(other, one)) <= 1e-6


def test_nothing_is_no_evidence() -> None:
    assert evidence_above(NO_TRIALS, 0.01) == pytest.approx(0)
    assert evidence_worse(NO_TRIALS, NO_TRIALS) == pytest.approx(0)
    assert evidence_worse(NO_TRIALS, Trials(3, 100)) <= 0


def looks(rng: Random, rate: float, num: int) -> list[Trials]:
    """What is known after each of ``num`` trials."""
    hits = 0
    seen = []
    for total in range(1, num + 1):
        hits += rng.random() < rate
        seen.append(Trials(hits, total))
    return seen


def z_score(new: Trials, old: Trials) -> float:
    pooled = (new.hits + old.hits) / (new.total + old.total)
    deviation = sqrt(pooled * (1 - pooled) * (1 / new.total + 1 / old.total))
    return (new.rate - old.rate) / deviation if deviation else 0.0


def test_looking_always_does_not_raise_the_level() -> None:
    """And it does that of a test for one look, which is why this one is here."""
    rng = Random(1)  # noqa: S311
    enough, runs = log(1 / ALPHA), 300
    wrong = naive = 0
    for _ in range(runs):
        pairs = list(zip(looks(rng, 0.1, 600), looks(rng, 0.1, 600), strict=True))
        wrong += any(evidence_worse(new, old) >= enough for new, old in pairs)
        naive += any(z_score(new, old) >= 1.645 for new, old in pairs[50:])
    assert wrong / runs <= ALPHA
    assert naive / runs > 3 * ALPHA


def test_a_limit_that_is_just_held_is_rarely_found_broken() -> None:
    rng = Random(2)  # noqa: S311
    enough, runs = log(1 / ALPHA), 400
    wrong = sum(any(evidence_above(each, 0.1) >= enough for each in looks(rng, 0.1, 600)) for _ in range(runs))
    assert wrong / runs <= ALPHA
