"""Counters that beat with the work of a rank."""

from __future__ import annotations

from models.parallel.pulse import BeatingProgress, ProgressCounter
from models.progress import NoProgress


def test_work_that_says_how_far_it_is_beats() -> None:
    counter = ProgressCounter()
    progress = BeatingProgress(NoProgress(), counter)

    progress.step("hashing a file")
    progress.advance(1_000, 4_000)

    assert counter.snapshot().count == 2
    assert counter.snapshot().doing == "has 1,000 of 4,000 B"
