"""The decision about replicas, rule by rule."""

from __future__ import annotations

from dataclasses import replace

from deployments.scaling.decide import decide
from deployments.scaling.decision import Cause
from deployments.scaling.load import RouterLoad
from deployments.scaling.memory import Memory
from deployments.scaling.schedule import Window
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


def test_what_came_before_does_not_keep_a_replica_that_is_idle() -> None:
    memory = Memory()
    for second in range(0, 200, 2):
        routers = RouterLoad(age_s=1.0, arrivals_per_s=20.0 * (second % 50 < 10))
        _, memory = decide(load(generating(), now=NOON + second, routers=routers), settings(), memory)
    nobody = generating(num_running=0, finished_per_s=0.0, service_s=None)
    early, _ = decide(load(nobody, now=NOON + 260, idle_s=60.0), settings(idle_s=100.0), memory)
    late, _ = decide(load(nobody, now=NOON + 300, idle_s=100.0), settings(idle_s=100.0), memory)
    assert early.target >= 1
    assert late.target == 0


def test_the_schedule_holds_against_idleness_and_below_the_most() -> None:
    noon = Window(3, "11:00", "13:00")
    idle = load(generating(num_running=0, finished_per_s=0.0, service_s=None), idle_s=1e6)
    decision, _ = decide(idle, settings(schedule=(noon,)), Memory())
    bounded, _ = decide(idle, settings(schedule=(noon,), max_replicas=2), Memory())
    assert (decision.target, decision.cause) == (3, Cause.SCHEDULE)
    assert bounded.target == 2


def test_many_are_added_at_once_but_for_a_step_that_is_set() -> None:
    routers = RouterLoad(age_s=1.0, num_waiting=200, arrivals_per_s=20.0)
    burst = load(generating(num_running=16), routers=routers)
    free, _ = decide(burst, settings(), Memory())
    stepped, _ = decide(burst, settings(max_step=2), Memory())
    assert free.target == 20
    assert (stepped.target, stepped.cause) == (3, Cause.STEP)


def test_a_replica_that_died_is_not_missed_twice() -> None:
    routers = RouterLoad(age_s=1.0, num_under_way=16, arrivals_per_s=4.0)
    all_of = [generating(name, num_running=8) for name in "ab"]
    whole, memory = decide(load(*all_of, routers=routers), settings(), Memory())
    lost = load(all_of[0], now=NOON + 2, target=2, routers=routers)
    after, _ = decide(lost, settings(), memory)
    assert after.target == whole.target
