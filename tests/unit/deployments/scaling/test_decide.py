"""The decision about replicas, rule by rule."""

from __future__ import annotations

from dataclasses import replace

from deployments.scaling.decide import decide
from deployments.scaling.decision import Cause
from deployments.scaling.load import RouterLoad
from deployments.scaling.memory import Memory
from deployments.scaling.settings import Kind
from tests.unit.deployments.scaling.loads import NOON, batching, generating, load, settings


def test_one_replica_is_enough_for_half_a_replicas_load() -> None:
    decision, _ = decide(load(generating()), settings(), Memory())
    assert (decision.target, decision.cause) == (1, Cause.LOAD)


def test_what_waits_in_the_routers_counts() -> None:
    waiting = RouterLoad(age_s=1.0, num_under_way=20, num_waiting=60, waiting_tokens=30_000, arrivals_per_s=10.0)
    decision, _ = decide(load(generating(num_running=16, num_waiting=4), routers=waiting), settings(), Memory())
    assert decision.target > 4
    assert "64 waiting" in decision.reason


def test_without_reports_all_stays() -> None:
    silent = load(generating(age_s=60.0), generating("b", age_s=60.0), routers=RouterLoad())
    decision, _ = decide(silent, settings(), Memory())
    assert (decision.target, decision.cause) == (2, Cause.UNKNOWN)


def test_the_last_replica_ends_only_when_it_has_been_idle() -> None:
    idle = generating(num_running=0, finished_per_s=0.0, service_s=None)
    early, _ = decide(load(idle, idle_s=299.0), settings(), Memory())
    late, _ = decide(load(idle, idle_s=300.0), settings(), Memory())
    kept, _ = decide(load(idle, idle_s=300.0), settings(min_replicas=1), Memory())
    assert (early.target, early.cause) == (1, Cause.NOT_IDLE)
    assert (late.target, late.cause) == (0, Cause.IDLE)
    assert (kept.target, kept.cause) == (1, Cause.MIN)


def test_fewer_only_after_the_window() -> None:
    busy, calm = load(*[generating(str(n), num_running=15) for n in range(4)]), load(generating(), target=4)
    first, memory = decide(busy, settings(), Memory())
    held, memory = decide(replace(calm, now=NOON + 30, target=first.target), settings(), memory)
    freed, _ = decide(replace(calm, now=NOON + 91, target=held.target), settings(), memory)
    assert (held.target, held.cause) == (first.target, Cause.STABILISATION)
    assert freed.target == 1


def test_batches_scale_on_arrivals_against_the_time_of_a_batch() -> None:
    routers = RouterLoad(age_s=1.0, arrivals_per_s=700.0, num_under_way=16)
    replicas = [batching(str(number)) for number in range(4)]
    decision, _ = decide(load(*replicas, routers=routers), settings(Kind.BATCH, queue_s=0.2), Memory())
    assert decision.target == 5  # 0.8 of min(190, 188) a second each


def test_memory_survives_json() -> None:
    _, memory = decide(load(generating()), settings(), Memory())
    assert Memory.from_json(memory.to_json()) == memory
    assert Memory.from_json({}) == Memory()
