"""What a real engine's load is compared with."""

from __future__ import annotations

import pytest

from benchmarks.scaling_engine import EngineModel, Job
from benchmarks.scaling_live import foretell, load_of
from benchmarks.scaling_traces import TRACES

MODEL = EngineModel(8, 4096, 256, step_s=0.05, sequence_s=0.005, token_s=0.0005)


def test_the_simulation_has_the_requests_as_they_turned_out() -> None:
    lived = [Job(0.0, 100, 20, 0.0, 9.0, 9.5), Job(1.0, 50, 0, 1.0, 9.0, 9.5)]
    told = foretell(MODEL, lived)
    assert [(job.arrived, job.prompt_tokens, job.output_tokens) for job in told] == [(0.0, 100, 20), (1.0, 50, 1)]
    assert told[0].first_token == pytest.approx(MODEL.alone_s(100))


@pytest.mark.skipif(not TRACES.exists(), reason=f"there are no traces in {TRACES}")
def test_the_load_is_too_much_in_its_middle_third_only() -> None:
    told = foretell(
        MODEL, [Job(each.at, each.prompt_tokens, each.output_tokens) for each in load_of(MODEL, 300).requests]
    )
    waits = [
        max(job.first_token - job.arrived for job in told if start <= job.arrived < start + 100)
        for start in (0, 100)
    ]
    assert waits[0] < 3
    assert waits[1] > 8
