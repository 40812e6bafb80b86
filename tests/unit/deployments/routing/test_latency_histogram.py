from __future__ import annotations

from collections import Counter
from math import exp, inf, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.latency_histogram import LatencyHistogram, bucket_of, upper_bound_ms

ENOUGH = log(1 / 0.01)


def histogram(latencies: list[float]) -> LatencyHistogram:
    return LatencyHistogram(Counter(map(bucket_of, latencies)))


@given(st.floats(0.001, 1e8))
def test_a_bucket_holds_what_falls_into_it(ms: float) -> None:
    assert upper_bound_ms(bucket_of(ms) - 1) < ms * (1 + 1e-9)
    assert ms <= upper_bound_ms(bucket_of(ms)) * (1 + 1e-9)


def test_what_took_no_time_has_a_bucket_too() -> None:
    assert bucket_of(0.0) == bucket_of(0.001)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_a_quantile_is_right_to_a_bucket(latencies: list[float], share: float) -> None:
    exact = sorted(latencies)[-int(-share * len(latencies) // 1) - 1]
    measured = histogram(latencies).quantile_ms(share)
    assert measured is not None
    assert exact * 0.999 <= measured <= exact * 1.05


def test_of_nothing_nothing_is_known() -> None:
    empty = histogram([])
    assert empty.quantile_ms(0.5) is None
    assert (empty.surely_above_ms(0.5, ENOUGH), empty.surely_within_ms(0.5, ENOUGH)) == (0, inf)


def test_of_few_requests_nothing_is_sure() -> None:
    few = histogram([10, 11, 12])
    assert (few.surely_above_ms(0.5, ENOUGH), few.surely_within_ms(0.5, ENOUGH)) == (0, inf)


def test_of_equal_latencies_nothing_but_the_bucket_is_known() -> None:
    equal, bucket = histogram([10.0] * 200), bucket_of(10.0)
    assert equal.surely_above_ms(0.5, ENOUGH) == upper_bound_ms(bucket - 1)
    assert equal.surely_within_ms(0.5, ENOUGH) == upper_bound_ms(bucket)


@given(st.lists(st.floats(0.01, 1e6), max_size=300), st.sampled_from([0.5, 0.9]))
def test_what_is_sure_encloses_what_is_measured(latencies: list[float], share: float) -> None:
    measured = histogram(latencies)
    middle = measured.quantile_ms(share) or 0
    assert measured.surely_above_ms(share, ENOUGH) <= middle <= measured.surely_within_ms(share, ENOUGH)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_bounds_close_in_on_the_quantile(share: float) -> None:
    rng = Random(3)  # noqa: S311
    latencies = [rng.lognormvariate(3, 0.5) for _ in range(20_000)]
    many = histogram(latencies)
    true = sorted(latencies)[int(share * len(latencies))]
    assert true * 0.9 < many.surely_above_ms(share, ENOUGH) < true
    assert true < many.surely_within_ms(share, ENOUGH) < true * 1.1


def test_bounds_hold_at_every_look() -> None:
    """The true quantile is outside of them in few runs, whenever one looks."""
    true = exp(3)  # the median of what is drawn
    rng, runs = Random(4), 100  # noqa: S311
    enough = log(1 / 0.05)
    wrong = 0
    for _ in range(runs):
        counts: Counter[int] = Counter()
        outside = False
        for look in range(300):
            counts[bucket_of(rng.lognormvariate(3, 0.5))] += 1
            if look % 5 == 0:
                measured = LatencyHistogram(counts)
                within, above = measured.surely_within_ms(0.5, enough), measured.surely_above_ms(0.5, enough)
                outside = outside or not above < true < within
        wrong += outside
    assert wrong / runs <= 2 * 0.05
