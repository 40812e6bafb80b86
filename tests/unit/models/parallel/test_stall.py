"""When a group is stalled and who is to blame, at times that the tests set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import GroupError
from models.parallel.pulse import ProgressCounter, Pulse
from models.parallel.stall import Pulses, StallWatch


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def group(*counts: int) -> Pulses:
    return {rank: Pulse(count, "computes layer 1") for rank, count in enumerate(counts)}


def stalled(pulses: Pulses) -> tuple[int, ...]:
    clock = Clock()
    watch = StallWatch(10, clock)
    watch.look(pulses, in_flight=True)
    clock.now_s = 10
    stall = watch.look(pulses, in_flight=True)
    assert stall is not None
    return stall.culprits


def test_a_group_whose_counts_move_is_healthy_however_slow(clock: Clock) -> None:
    watch = StallWatch(10, clock)
    for count in range(5):
        clock.now_s += 100
        assert watch.look(group(7, count), in_flight=True) is None


def test_a_group_that_stands_still_with_work_in_flight_is_stalled(clock: Clock) -> None:
    watch = StallWatch(10, clock)
    assert watch.look(group(7, 7), in_flight=True) is None
    clock.now_s = 9.9
    assert watch.look(group(7, 7), in_flight=True) is None
    clock.now_s = 12
    stall = watch.look(group(7, 7), in_flight=True)
    assert stall is not None
    assert str(stall) == (
        "rank 0 or rank 1 holds up the group, in which nothing has moved for 12 s: "
        "rank 0 computes layer 1; rank 1 computes layer 1"
    )
    assert isinstance(stall.error(), GroupError)


def test_idle_time_is_no_stall_and_does_not_count_towards_one(clock: Clock) -> None:
    watch = StallWatch(10, clock)
    for _ in range(3):
        clock.now_s += 100
        assert watch.look(group(7, 7), in_flight=False) is None
    clock.now_s += 5
    assert watch.look(group(7, 7), in_flight=True) is None


def test_a_rank_that_stops_and_starts_to_answer_has_not_moved_by_that(clock: Clock) -> None:
    watch = StallWatch(10, clock)
    silent = {**group(7, 7), 1: None}
    watch.look(group(7, 7), in_flight=True)
    clock.now_s = 6
    assert watch.look(silent, in_flight=True) is None
    clock.now_s = 12
    stall = watch.look(silent, in_flight=True)
    assert stall is not None
    assert "rank 1 holds up the group" in str(stall)
    assert "rank 1 does not answer" in str(stall)
    assert watch.look(group(7, 7), in_flight=True) is not None


def waits(*ranks: int) -> Pulse:
    return Pulse(7, "waits for hidden states", ranks)


WORKS = Pulse(7, "computes layer 1")


@pytest.mark.parametrize(
    ("pulses", "culprits"),
    [
        ({0: waits(2), 1: waits(0), 2: WORKS}, (2,)),
        ({0: waits(1, 2), 1: WORKS, 2: waits(0, 1), 3: Pulse(1, "computes layer 9")}, (1,)),
        ({0: WORKS, 1: WORKS, 2: waits(0)}, (0, 1)),
        ({0: waits(1), 1: None, 2: WORKS}, (1,)),
        ({0: WORKS, 1: WORKS}, (0, 1)),
        ({0: waits(1), 1: waits(0)}, (0, 1)),
    ],
    ids=["in a pipeline", "in a collective", "slices of one layer", "silent", "all work", "all wait"],
)
def test_the_culprit_is_the_one_that_others_wait_for(pulses: Pulses, culprits: tuple[int, ...]) -> None:
    assert stalled(pulses) == culprits


@given(
    st.dictionaries(
        st.integers(0, 5),
        st.none() | st.builds(Pulse, st.just(1), st.just("works"), st.lists(st.integers(0, 5)).map(tuple)),
        min_size=1,
    )
)
def test_somebody_of_the_group_is_always_to_blame(pulses: dict[int, Pulse | None]) -> None:
    culprits = stalled(pulses)
    assert culprits
    assert set(culprits) <= pulses.keys()


def test_a_counter_counts_its_steps_and_says_the_last_one() -> None:
    counter = ProgressCounter()
    assert counter.snapshot() == Pulse(0, "starts")
    counter.advance("computes layer 0")
    counter.advance("waits for hidden states", (2,))
    assert counter.snapshot() == Pulse(2, "waits for hidden states", (2,))
