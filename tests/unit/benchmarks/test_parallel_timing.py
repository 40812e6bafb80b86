from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from benchmarks.parallel_timing import Collectives, TimedPulse
from models.parallel.rendezvous import MeetingPoint, Member, join_group, leave_group


def clock(*times: float) -> Callable[[], float]:
    return iter(times).__next__


def timed(pulse: TimedPulse, doings: Iterable[str]) -> dict[str, float]:
    for doing in doings:
        pulse.advance(doing)
    return pulse.take()


def test_time_is_counted_by_what_a_rank_does() -> None:
    pulse = TimedPulse(clock(0, 1, 3, 6, 10, 15, 21))
    doings = ["waits for a step", "computes layer 0", "computes layer 1", "waits for a step"]
    assert timed(pulse, doings) == {"starts": 1, "waits for a step": 2 + 5, "computes layers": 3 + 4}
    assert pulse.snapshot().count == len(doings)
    assert pulse.take() == {"waits for a step": 6}


def test_the_collectives_of_transformers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "all_reduce", dist.all_reduce)  # what is watched here ends with the test
    monkeypatch.setattr(DTensor, "redistribute", DTensor.redistribute)
    collectives = Collectives(clock(1, 3, 10, 14))
    collectives.watch()
    point = MeetingPoint("127.0.0.1")
    join_group(point.meeting, Member(0, 1, "127.0.0.1"), "gloo", 60, {})
    try:
        dist.all_reduce(torch.ones(2))
        assert collectives.take() == (2,)
        assert collectives.take() == ()
    finally:
        leave_group()
        point.close()
