"""What comes next, by the policy itself."""

from __future__ import annotations

from dataclasses import replace

from deployments.scaling.decide import decide
from deployments.scaling.memory import Memory
from deployments.scaling.outlook import outlook
from deployments.scaling.schedule import Window
from tests.unit.deployments.scaling.loads import NOON, generating, load, settings


def test_a_replica_that_is_idle_ends_when_it_has_been_idle_for_long_enough() -> None:
    idle = load(generating(num_running=0, finished_per_s=0.0), idle_s=280.0)
    decision, memory = decide(idle, settings(), Memory())
    following = outlook(idle, settings(), memory)
    assert decision.target == 1
    assert following is not None
    assert (following.in_s, following.target) == (20, 0)


def test_fewer_are_to_come_when_the_window_is_over() -> None:
    busy, calm = load(*[generating(str(n), num_running=15) for n in range(4)]), load(generating(), target=4)
    first, memory = decide(busy, settings(), Memory())
    held, memory = decide(replace(calm, now=NOON + 30, target=first.target), settings(), memory)
    following = outlook(held.load, settings(), memory)
    assert following is not None
    assert (following.in_s, following.target) == (60, 1)


def test_a_schedule_is_seen_from_afar() -> None:
    soon = settings(schedule=(Window(3, "12:30", "13:00"),))
    asleep = load(target=0, num_ready=0, cold_start_s=60, idle_s=900.0)
    following = outlook(asleep, soon, Memory())
    assert following is not None
    assert (following.in_s, following.target) == (29 * 60, 3)


def test_what_stays_stays() -> None:
    steady = load(generating())
    decision, memory = decide(steady, settings(), Memory())
    assert outlook(replace(steady, target=decision.target), settings(), memory) is None
