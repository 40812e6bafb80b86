"""Calls that hang on a replica are let go in time, and no other ones."""

from __future__ import annotations

import asyncio

import pytest

from deployments.dataplane.lifelines import Lifelines
from deployments.routing.live_versions import LiveVersions
from models.errors import DeadlineExceededError, ModelNotFoundError, ModelUnavailableError, StowageError
from models.types import VersionId
from tests.unit.deployments.live_models import state
from tests.unit.deployments.planes import a_call

M1, M2 = VersionId("m", "1"), VersionId("m", "2")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lifelines(clock: Clock) -> Lifelines:
    return Lifelines(clock, patience_s=10)


async def hang(lifelines: Lifelines, version: VersionId = M1, timeout_s: float = 20.0) -> None:
    async with lifelines.hold(version, a_call(timeout_s)):
        await asyncio.sleep(60)


def live(*states: tuple[str, str]) -> LiveVersions:
    return LiveVersions(state(version, status, "it was lost") for version, status in states)


async def started(lifelines: Lifelines, version: VersionId = M1) -> asyncio.Task[None]:
    task = asyncio.create_task(hang(lifelines, version))
    await asyncio.sleep(0)
    return task


async def test_at_the_deadline_a_call_is_let_go(lifelines: Lifelines) -> None:
    with pytest.raises(DeadlineExceededError, match=r"time limit of 0\.01 s"):
        await hang(lifelines, timeout_s=0.01)


@pytest.mark.parametrize("status", ["failed", "waiting"])
async def test_calls_to_a_version_that_is_lost_end_at_the_next_look(lifelines: Lifelines, status: str) -> None:
    calls = [await started(lifelines), await started(lifelines)]
    other = await started(lifelines, M2)
    lifelines.follow(live(("m@1", status), ("m@2", "ready")))
    for call in calls:
        with pytest.raises(ModelUnavailableError, match=rf"m@1 (is|has) {status}: it was lost"):
            await call
    assert not other.done()
    other.cancel()


async def test_a_version_that_stops_answers_what_is_under_way(lifelines: Lifelines) -> None:
    call = await started(lifelines)
    lifelines.follow(live(("m@1", "stopping")))
    await asyncio.sleep(0.01)
    assert not call.done()
    call.cancel()


async def test_calls_to_a_version_that_is_removed_end(lifelines: Lifelines) -> None:
    call = await started(lifelines)
    lifelines.follow(live(("m@2", "ready")))
    with pytest.raises(ModelNotFoundError, match=r"'m@1' is not deployed any more$"):
        await call


async def test_a_version_that_comes_back_soon_keeps_its_calls(lifelines: Lifelines, clock: Clock) -> None:
    call = await started(lifelines)
    for status in ("starting", "ready", "starting"):
        lifelines.follow(live(("m@1", status)))
        clock.now += 9
        await asyncio.sleep(0.01)
        assert not call.done()
    clock.now += 2
    lifelines.follow(live(("m@1", "starting")))
    with pytest.raises(ModelUnavailableError, match="m@1 is starting"):
        await call


async def test_a_call_that_comes_later_has_patience_of_its_own(lifelines: Lifelines, clock: Clock) -> None:
    early = await started(lifelines)
    lifelines.follow(live(("m@1", "starting")))
    clock.now += 11
    lifelines.follow(live(("m@1", "starting")))
    with pytest.raises(ModelUnavailableError):
        await early
    lifelines.follow(live(("m@1", "starting")))  # nobody waits: the absence is forgotten
    late = await started(lifelines)
    lifelines.follow(live(("m@1", "starting")))
    await asyncio.sleep(0.01)
    assert not late.done()
    late.cancel()


@pytest.mark.parametrize("error", [TimeoutError("its own"), ModelUnavailableError("it died")])
async def test_an_error_of_the_call_stays_what_it_is(lifelines: Lifelines, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        async with lifelines.hold(M1, a_call()):
            raise error


async def test_a_call_that_is_over_is_not_let_go_once_more(lifelines: Lifelines) -> None:
    async with lifelines.hold(M1, a_call()):
        pass
    lifelines.follow(live(("m@1", "failed")))
    await asyncio.sleep(0)


async def test_a_call_that_its_caller_cancels_is_cancelled(lifelines: Lifelines) -> None:
    call = await started(lifelines)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_call_that_its_caller_cancels_is_cancelled_though_its_version_is_lost(
    lifelines: Lifelines,
) -> None:
    call = await started(lifelines)
    lifelines.follow(live(("m@1", "failed")))
    await asyncio.sleep(0)  # now the lifeline has let go
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_look_passes_over_a_call_that_is_just_ending() -> None:
    """Its time was up in this round of the loop, and its task runs in the next one."""
    lifelines, loop = Lifelines(Clock(), patience_s=10), asyncio.get_running_loop()
    call = await started(lifelines)
    (line,) = lifelines._lines[M1]
    line.scope.reschedule(0)
    looked = asyncio.Event()

    def look() -> None:
        assert line.scope.expired()
        lifelines.follow(live(("m@1", "failed")))
        looked.set()

    loop.call_soon(look)
    with pytest.raises(DeadlineExceededError):
        await call
    assert looked.is_set()


async def test_what_ends_a_call_can_be_told_to_its_caller(lifelines: Lifelines) -> None:
    call = await started(lifelines)
    lifelines.follow(live(("m@1", "failed")))
    with pytest.raises(StowageError) as ended:
        await call
    assert isinstance(ended.value, ModelUnavailableError)
    assert ended.value.retry_after_s == 30
