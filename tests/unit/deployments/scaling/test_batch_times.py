"""How long batches take by their size."""

from __future__ import annotations

from random import Random

import pytest

from deployments.scaling.batch_times import BatchTimes


def test_nothing_is_known_before_the_first_batch() -> None:
    assert BatchTimes().line() is None


def test_batches_of_different_sizes_show_both_parts() -> None:
    times, rng = BatchTimes(), Random(1)  # noqa: S311
    for _ in range(300):
        size = rng.randint(1, 32)
        times.learn(size, (0.02 + 0.003 * size) * rng.uniform(0.95, 1.05))
    base_s, item_s = times.line() or (0, 0)
    assert base_s == pytest.approx(0.02, rel=0.2)
    assert item_s == pytest.approx(0.003, rel=0.1)


def test_of_one_size_all_is_taken_for_the_items() -> None:
    times = BatchTimes()
    for _ in range(50):
        times.learn(4, 0.2)
    assert times.line() == pytest.approx((0, 0.05))


def test_neither_part_is_below_nothing() -> None:
    times = BatchTimes()
    for size, seconds in ((1, 0.5), (8, 0.1), (16, 0.05)):
        times.learn(size, seconds)
    base_s, item_s = times.line() or (-1, -1)
    assert item_s == 0
    assert base_s > 0


def test_a_model_that_becomes_slower_is_believed() -> None:
    times = BatchTimes()
    for _ in range(100):
        for size in (1, 2, 3):
            times.learn(size, 0.01 * size)
    for _ in range(100):
        for size in (1, 2, 3):
            times.learn(size, 0.05 * size)
    assert (times.line() or (0, 0))[1] == pytest.approx(0.05, rel=0.05)
