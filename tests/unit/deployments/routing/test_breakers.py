"""What the end of a call means to the breaker of its version."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import pytest

from deployments.routing.breaker import BreakerSettings, BreakerState
from deployments.routing.breakers import Breakers
from deployments.routing.live_versions import LiveVersions
from models import errors
from models.types import VersionId
from tests.unit.deployments.live_models import state

V1, V2 = VersionId("m", "1"), VersionId("m", "2")
SETTINGS = BreakerSettings(min_requests=2, open_s=5, slow_s=10, probes=1)
DEAD = errors.ModelUnavailableError("its replica died")


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(clock: Clock) -> Breakers:
    return Breakers(clock)


def fail(breakers: Breakers, error: BaseException, clock: Clock | None = None) -> None:
    """Two calls that end with ``error``, after ten seconds when there is a clock to move."""

    def call() -> None:
        with breakers.attempt(V1, SETTINGS):
            if clock is not None:
                clock.now_s += 10
            raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            call()


@pytest.mark.parametrize("error", [DEAD, errors.EngineError("NaN in the logits")])
def test_a_version_that_fails_is_left_alone(breakers: Breakers, error: Exception) -> None:
    fail(breakers, error)
    assert breakers.blocked_s(V1, SETTINGS) == 5.0
    assert breakers.blocked_s(V2, SETTINGS) == 0.0
    with (
        pytest.raises(errors.ModelUnavailableError, match="m@1 failed too often") as refused,
        breakers.attempt(V1, SETTINGS),
    ):
        pytest.fail("it was called")
    assert refused.value.retry_after_s == 5.0


@pytest.mark.parametrize(
    "error",
    [
        errors.OverloadedError("its queue is full"),
        errors.DeadlineExceededError("the caller gave it a millisecond"),
        errors.ContextLengthError("the prompt is too long"),
        errors.InvalidRequestError("top_p is 7"),
        asyncio.CancelledError(),
        KeyError("a defect of ours"),
    ],
)
def test_what_is_no_fault_of_the_version_does_not_count(breakers: Breakers, error: BaseException) -> None:
    fail(breakers, error)
    assert breakers.blocked_s(V1, SETTINGS) == 0.0


def test_a_deadline_counts_when_the_version_had_time(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, errors.DeadlineExceededError("no answer"), clock=clock)
    assert breakers.blocked_s(V1, SETTINGS) > 0


@pytest.mark.parametrize("error", [None, errors.InvalidRequestError("top_p is 7")])
def test_an_answered_probe_closes_it(breakers: Breakers, clock: Clock, error: Exception | None) -> None:
    fail(breakers, DEAD)
    clock.now_s += 5
    if error is None:
        with breakers.attempt(V1, SETTINGS):
            pass
    else:
        with pytest.raises(errors.InvalidRequestError), breakers.attempt(V1, SETTINGS):
            raise error
    fail(breakers, errors.OverloadedError("full"))
    assert breakers.blocked_s(V1, SETTINGS) == 0.0


@pytest.mark.parametrize("error", [errors.OverloadedError("full"), asyncio.CancelledError()])
def test_a_probe_that_says_nothing_leaves_it_half_open(
    breakers: Breakers, clock: Clock, error: BaseException
) -> None:
    fail(breakers, DEAD)
    clock.now_s += 5
    fail(breakers, error)
    with pytest.raises(errors.ModelUnavailableError, match="died"), breakers.attempt(V1, SETTINGS):
        raise DEAD
    assert breakers.blocked_s(V1, SETTINGS) == 10.0


def test_without_settings_there_is_no_breaker(breakers: Breakers) -> None:
    for _ in range(100):
        with pytest.raises(errors.ModelUnavailableError, match="died"), breakers.attempt(V1, None):
            raise DEAD
    assert breakers.blocked_s(V1, None) == 0.0


def test_versions_that_are_gone_are_forgotten(breakers: Breakers) -> None:
    fail(breakers, DEAD)
    breakers.follow(LiveVersions([state("m@1", "failed")]))
    assert breakers.blocked_s(V1, SETTINGS) > 0
    breakers.follow(LiveVersions([state("m@2")]))
    assert breakers.blocked_s(V1, SETTINGS) == 0
    assert not breakers._breakers


def test_its_changes_are_logged(breakers: Breakers, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="ray.serve"):
        fail(breakers, DEAD)
        clock.now_s += 5
        with breakers.attempt(V1, SETTINGS):
            pass
    assert caplog.messages == [
        "m@1 fails too often: its breaker is open.",
        "m@1 answers again: its breaker is closed.",
    ]


def test_states_and_openings_are_those_of_each_version(breakers: Breakers, clock: Clock) -> None:
    assert (breakers.states(), breakers.openings) == ({}, {})
    with breakers.attempt(V2, SETTINGS):
        pass
    fail(breakers, DEAD)
    assert breakers.states() == {V1: BreakerState.OPEN, V2: BreakerState.CLOSED}
    clock.now_s += 5
    assert breakers.states()[V1] is BreakerState.HALF_OPEN
    with pytest.raises(errors.ModelUnavailableError), breakers.attempt(V1, SETTINGS):
        raise DEAD
    assert breakers.states()[V1] is BreakerState.OPEN
    assert breakers.openings == {V1: 2}


def test_a_breaker_opens_once_though_several_calls_were_under_way(breakers: Breakers) -> None:
    calls = [breakers.attempt(V1, SETTINGS) for _ in range(4)]
    for call in calls:
        call.__enter__()
    for call in calls:
        with suppress(errors.ModelUnavailableError):
            call.__exit__(type(DEAD), DEAD, None)
    assert breakers.openings == {V1: 1}


def test_of_several_breakers_of_a_version_the_strictest_counts(breakers: Breakers) -> None:
    with breakers.attempt(V1, BreakerSettings()):
        pass
    fail(breakers, DEAD)
    assert breakers.states() == {V1: BreakerState.OPEN}
