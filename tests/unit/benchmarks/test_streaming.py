from __future__ import annotations

from itertools import product

from benchmarks.chat_windows import Sample, prompts
from benchmarks.streaming import TARGETS, tables


def test_streams_through_the_router_are_over_the_bare_ones() -> None:
    speeds = {"stowage": 90.0, "bare": 100.0, "bare-newest": 180.0}
    samples = [
        Sample(number, target, 32, 8, 64, speeds[target] * (1 + number), 0.1, 5, 0.1, ())
        for number, target in product((1, 0), TARGETS)
    ]
    beside, absolute = tables(samples)
    assert [row[:2] for row in beside.rows] == [
        ("32 streams, bare", "0.90 (0.90-0.90)"),
        ("32 streams, bare-newest", "0.50 (0.50-0.50)"),
    ]
    assert [row[0] for row in absolute.rows] == ["stowage", "bare", "bare-newest"]


def test_there_are_prompts_for_any_number_of_streams() -> None:
    assert len(set(prompts(0, 32))) == 32
