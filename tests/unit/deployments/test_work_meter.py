"""What a replica has done lately."""

from __future__ import annotations

import pytest

from deployments.work_meter import Work, WorkMeter
from tests.unit.deployments.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> WorkMeter:
    return WorkMeter(clock)


def test_a_replica_without_work(meter: WorkMeter, clock: Clock) -> None:
    clock.now += 2
    assert meter.read() == Work()


def test_a_batch_is_one_time_of_work_however_many_items_it_has(meter: WorkMeter, clock: Clock) -> None:
    first = meter.come()
    clock.now += 1
    second = meter.come()
    clock.now += 1
    assert meter.read().num_waiting == 2
    meter.begin([first, second])
    assert (meter.read().num_waiting, meter.read().num_running) == (0, 2)
    clock.now += 4
    meter.end([first, second])
    clock.now += 2
    work = meter.read()
    assert work.service_s == pytest.approx((6 + 5) / 2)
    assert work.queue_s == 2
    assert work.busy_share == pytest.approx(4 / 8)
    assert work.finished_per_s == pytest.approx(2 / 8)


def test_generations_overlap(meter: WorkMeter, clock: Clock) -> None:
    one, other = meter.come(), meter.come()
    meter.begin([one])
    clock.now += 1
    meter.begin([other])
    clock.now += 1
    meter.end([one])
    clock.now += 1
    meter.end([other])
    clock.now += 3
    assert meter.read().busy_share == pytest.approx(3 / 6)


def test_work_that_goes_on_counts_as_far_as_it_is(meter: WorkMeter, clock: Clock) -> None:
    meter.begin([meter.come()])
    clock.now += 4
    assert meter.read().busy_share == 1
    clock.now += 4
    assert meter.read().busy_share == 1


def test_what_was_given_up_before_it_began_counts_for_nothing(meter: WorkMeter, clock: Clock) -> None:
    item = meter.come()
    clock.now += 1
    meter.end([item])
    meter.begin([item])  # its batch is made up all the same
    meter.end([item])
    work = meter.read()
    assert (work.num_waiting, work.num_running, work.finished_per_s, work.queue_s) == (0, 0, 0, None)


def test_prompts_and_tokens(meter: WorkMeter, clock: Clock) -> None:
    fast, slow = meter.come(), meter.come()
    meter.begin([fast, slow])
    clock.now += 1
    meter.read_prompt(fast, 100)
    meter.serve(101)
    clock.now += 1
    meter.read_prompt(slow, 60)
    meter.serve(61)
    work = meter.read()
    assert (work.prompt_tokens, work.read_tokens_per_s, work.tokens_per_s) == (80, 100, 81)


def test_what_is_long_ago_is_forgotten(meter: WorkMeter, clock: Clock) -> None:
    item = meter.come()
    meter.begin([item])
    clock.now += 5
    meter.serve(10)
    meter.end([item])
    for _ in range(12):
        clock.now += 1
        meter.read()
    work = meter.read()
    assert (work.busy_share, work.tokens_per_s, work.finished_per_s, work.service_s) == (0, 0, 0, None)


def test_batches_are_told_with_their_sizes_and_seconds(clock: Clock) -> None:
    told: list[tuple[int, float]] = []
    meter = WorkMeter(clock, lambda size, seconds: told.append((size, seconds)))
    items = [meter.come() for _ in range(3)]
    meter.end(items[:1])
    clock.now += 5
    meter.begin(items)
    clock.now += 0.5
    meter.end(items)
    meter.end(items)
    assert told == [(2, 0.5)]
