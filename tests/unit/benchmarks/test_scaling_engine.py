"""The simulated replica: its steps, places and pages."""

from __future__ import annotations

import math

import pytest

from benchmarks.scaling_engine import EngineModel, Job, SimulatedEngine

MODEL = EngineModel(
    max_num_seqs=2, max_tokens=1000, max_batch_tokens=100, step_s=1.0, sequence_s=0.1, token_s=0.01
)


def serve(jobs: list[Job], model: EngineModel = MODEL) -> SimulatedEngine:
    """Each job comes when it says."""
    engine, coming = SimulatedEngine(model), sorted(jobs, key=lambda job: job.arrived)
    while coming or engine.next_event < math.inf:
        if coming and coming[0].arrived <= engine.next_event:
            job = coming.pop(0)
            engine.add(job, job.arrived)
        else:
            engine.advance()
    return engine


def test_one_alone_is_read_in_chunks_and_then_gets_a_token_a_step() -> None:
    job = Job(5.0, prompt_tokens=150, output_tokens=4)
    serve([job])
    assert job.first_token == pytest.approx(5.0 + (1 + 1.0) + (1 + 0.5))
    assert job.ended == pytest.approx(job.first_token + 3 * 1.1)


def test_it_has_no_time_to_the_first_token_but_what_is_said() -> None:
    job = Job(0.0, 150, 1)
    serve([job])
    assert job.first_token == pytest.approx(MODEL.alone_s(150))
    assert job.ended == job.first_token


def test_who_comes_during_a_step_waits_for_its_end_and_slows_the_others() -> None:
    first, second = Job(0.0, 100, 10), Job(3.0, 100, 2)
    serve([first, second])
    # The first is read until 2.0; its steps take 1.1 s, so that the second begins at 3.1, in a step of 99 tokens.
    assert second.first_token == pytest.approx(3.1 + (1 + 0.1 + 0.99) + (1 + 0.1 + 0.01))
    assert second.ended == pytest.approx(second.first_token + 1.2)
    assert first.ended == pytest.approx(second.ended + 5 * 1.1)


def test_the_third_waits_for_a_place() -> None:
    jobs = [Job(0.0, 50, 5), Job(0.0, 50, 9), Job(0.0, 50, 5)]
    serve(jobs)
    assert jobs[2].first_token > jobs[0].ended


def test_a_long_one_waits_for_pages_and_is_let_in_when_it_is_alone() -> None:
    jobs = [Job(0.0, 400, 5), Job(0.0, 1200, 5)]
    serve(jobs)
    assert jobs[1].first_token > jobs[0].ended


def test_afterwards_nothing_is_left() -> None:
    engine = serve([Job(0.1 * number, 30 + number, 1 + number % 7) for number in range(200)])
    assert (engine.num_jobs, engine.held_tokens) == (0, 0)


def test_pages_are_held_by_prompts_and_by_what_is_generated() -> None:
    engine = SimulatedEngine(MODEL)
    engine.add(Job(0.0, 100, 50), 0.0)
    engine.advance()
    engine.advance()
    assert engine.held_tokens == 100
    engine.add(Job(2.0 + 11.0, 10, 2), 2.0 + 11.0)  # ten steps later
    assert engine.held_tokens == 110
