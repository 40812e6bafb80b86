"""What holds of every decision, whatever the load."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from deployments.scaling.decide import decide
from deployments.scaling.load import BatchUse, Load, ReplicaLoad, RouterLoad, TokenUse
from deployments.scaling.memory import Memory
from deployments.scaling.settings import Kind, ScalingSettings
from tests.unit.deployments.scaling.loads import NOON, settings

counts = st.integers(0, 500)
seconds = st.floats(0, 1000)
rates = st.floats(0, 500)
maybe = st.none() | st.floats(0.001, 1000)

tokens = st.builds(
    TokenUse,
    held_tokens=st.integers(0, 100_000),
    max_tokens=st.integers(1, 100_000),
    waiting_tokens=counts,
    prompt_tokens=maybe,
    read_tokens_per_s=maybe,
)
batches = st.builds(
    BatchUse,
    busy_share=st.floats(0, 1),
    queue_s=maybe,
    batch_base_s=maybe,
    batch_item_s=st.none() | st.floats(0, 10),
)
replicas = st.builds(
    ReplicaLoad,
    replica=st.sampled_from("abcdef"),
    age_s=seconds,
    num_running=counts,
    num_waiting=counts,
    max_num_seqs=st.integers(1, 256),
    finished_per_s=rates,
    service_s=maybe,
    tokens=st.none() | tokens,
    batches=st.none() | batches,
)
routers = st.builds(
    RouterLoad,
    age_s=st.none() | seconds,
    num_under_way=counts,
    num_waiting=counts,
    waiting_tokens=counts,
    arrivals_per_s=rates,
    arrived_tokens_per_s=rates,
)
loads = st.builds(
    Load,
    now=st.floats(NOON, NOON + 1e6),
    target=st.integers(0, 30),
    num_ready=st.integers(0, 30),
    cold_start_s=seconds,
    replicas=st.lists(replicas, max_size=4, unique_by=lambda each: each.replica).map(tuple),
    routers=routers,
    idle_s=st.none() | seconds,
)
kinds = st.sampled_from(Kind)


@st.composite
def bounds(draw: st.DrawFn) -> ScalingSettings:
    low = draw(st.integers(0, 10))
    return settings(
        draw(kinds),
        min_replicas=low,
        max_replicas=draw(st.integers(max(1, low), 20)),
        up_window_s=draw(st.sampled_from((0.0, 10.0))),
        down_window_s=draw(st.sampled_from((0.0, 60.0))),
        max_step=draw(st.none() | st.integers(1, 5)),
    )


@given(st.lists(loads, min_size=1, max_size=4), bounds())
def test_no_decision_leaves_the_bounds_and_all_of_it_is_json(seen: list[Load], within: ScalingSettings) -> None:
    memory = Memory()
    for number, load in enumerate(seen):
        decision, memory = decide(replace(load, now=NOON + number), within, memory)
        assert within.min_replicas <= decision.target <= within.max_replicas
        assert decision.reason.startswith(f"{decision.target}: ")
        assert Memory.from_json(json.loads(json.dumps(memory.to_json(), allow_nan=False))) == memory
        json.dumps(decision.to_json(), allow_nan=False)


@given(st.lists(loads, min_size=1, max_size=3), bounds())
def test_asked_twice_it_says_the_same(seen: list[Load], within: ScalingSettings) -> None:
    memory = Memory()
    for number, load in enumerate(seen):
        at = replace(load, now=NOON + number)
        first, memory = decide(at, within, memory)
        second, _ = decide(at, within, memory)
        assert (second.target, second.wish) == (first.target, first.wish)


@given(loads, bounds(), st.integers(1, 500))
def test_more_that_waits_never_wants_less(seen: Load, within: ScalingSettings, more: int) -> None:
    longer = replace(seen.routers, num_waiting=seen.routers.num_waiting + more)
    less, _ = decide(seen, within, Memory())
    most, _ = decide(replace(seen, routers=longer), within, Memory())
    assert most.target >= less.target


@given(loads, st.floats(0, 299))
def test_the_last_replica_stays_until_it_was_idle(seen: Load, idle_s: float) -> None:
    seen = replace(seen, target=max(1, seen.target), idle_s=idle_s)
    decision, _ = decide(seen, settings(idle_s=300.0), Memory())
    assert decision.target >= 1


def steady(arrivals_per_s: float, bare_s: float, prompt_tokens: float, num_replicas: int, now: float) -> Load:
    """What an engine of 16 places that reads 8000 tokens a second would tell, if nothing ever changed."""
    prompt_s = prompt_tokens / 8000
    share = min(0.75, arrivals_per_s * prompt_s / max(1, num_replicas))
    service_s = bare_s / (1 - share)
    each = arrivals_per_s / max(1, num_replicas)
    running = round(min(16, each * service_s))
    use = TokenUse(running * int(prompt_tokens), 40_000, 0, prompt_tokens, 8000.0)
    reports = tuple(
        ReplicaLoad(str(number), 1.0, running, 0, 16, each, service_s, use) for number in range(num_replicas)
    )
    sent = RouterLoad(age_s=1.0, num_under_way=running * num_replicas, arrivals_per_s=arrivals_per_s)
    return Load(now, num_replicas, num_replicas, 20.0, reports, sent, idle_s=0.0)


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 40), st.floats(0.1, 20), st.floats(1, 4000), st.integers(1, 20))
def test_a_constant_load_settles(
    arrivals_per_s: float, bare_s: float, prompt_tokens: float, at_first: int
) -> None:
    memory, number, changed_at = Memory(), at_first, 0
    for second in range(0, 1200, 2):
        seen = steady(arrivals_per_s, bare_s, prompt_tokens, number, NOON + second)
        decision, memory = decide(seen, settings(), memory)
        if decision.target != number:
            number, changed_at = decision.target, second
    assert changed_at < 600
