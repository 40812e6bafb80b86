"""What generation asks for."""

from __future__ import annotations

from dataclasses import replace

from deployments.scaling.decision import Need
from deployments.scaling.generation import generation_needs
from deployments.scaling.load import Load, RouterLoad, TokenUse
from deployments.scaling.memory import Memory
from deployments.scaling.offered import offered
from deployments.scaling.settings import Kind
from tests.unit.deployments.scaling.loads import generating, load, settings


def needs(seen: Load, **changes: object) -> dict[str, Need]:
    summed = offered(seen, 15.0)
    assert summed is not None
    found, _ = generation_needs(seen, summed, settings(Kind.GENERATION, **changes), Memory())
    return {need.resource: need for need in found}


def coming(per_s: float, num_waiting: int = 0) -> RouterLoad:
    return RouterLoad(age_s=1.0, arrivals_per_s=per_s, num_waiting=num_waiting)


def test_places_are_arrivals_times_the_time_of_each_and_two_deviations() -> None:
    found = needs(load(generating(), routers=coming(4.0)))
    assert found["sequences"].amount == 16 + 2 * 4
    assert found["sequences"].replicas == 2


def test_what_waits_wants_a_place_for_as_long_as_it_takes() -> None:
    waiting = replace(load(generating(num_running=16), routers=coming(4.0, 100)), cold_start_s=4.0)
    found = needs(waiting)
    # By then 16 more have come and 16 have been served; each takes so long that none lends its place.
    assert found["sequences"].amount == 16 + 2 * 4 + 100


def test_tokens_bind_where_requests_are_long() -> None:
    long = TokenUse(held_tokens=36_000, max_tokens=40_000)
    found = needs(load(generating(num_running=8, tokens=long), routers=coming(2.0)))
    assert found["kv cache"].replicas > found["sequences"].replicas
    assert "4,500 tokens" in found["kv cache"].words


def test_reading_binds_where_answers_are_short() -> None:
    prompts = TokenUse(held_tokens=8000, max_tokens=400_000, prompt_tokens=4000.0, read_tokens_per_s=8000.0)
    short = generating(num_running=2, service_s=1.0, finished_per_s=1.0, tokens=prompts)
    found = needs(load(short, routers=coming(6.0)), queue_s=10.0)
    assert found["reading"].replicas > found["sequences"].replicas


def test_while_nothing_has_ended_what_is_there_is_all_that_counts() -> None:
    found = needs(load(routers=coming(9.0, 40)))
    assert list(found) == ["sequences"]
    assert found["sequences"].replicas == 3


def test_more_running_than_arrivals_explain_counts() -> None:
    found = needs(load(generating(num_running=64, max_num_seqs=64), routers=coming(1.0)))
    assert found["sequences"].amount == 64 + 2 * 8


def test_replicas_of_other_sizes_count_as_the_mean() -> None:
    found = needs(load(generating(max_num_seqs=8), generating("b", max_num_seqs=24), routers=coming(4.0)))
    assert found["sequences"].per_replica == 16
