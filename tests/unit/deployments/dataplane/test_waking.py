"""Waiting for a model that sleeps or starts: it is woken once, few wait, and all are told how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from deployments.dataplane.catalog import Catalog
from deployments.dataplane.waking import Progress, Waking, WakingLimits
from deployments.routing.states import ModelState
from models.errors import ModelUnavailableError, StowageError
from models.types import VersionId
from tests.unit.deployments.live_models import Cluster, state
from tests.unit.deployments.planes import Witness

LONG_S = 20.0
QUICK = WakingLimits(max_waiting=2, wait_s=LONG_S, poll_s=0.005, progress_s=0.005)
NEVER_POLLS = WakingLimits(poll_s=LONG_S)


class Sleeper:
    """What is woken: answers once ``answer`` is set, with ``error`` if there is one."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.error: StowageError | None = None
        self.num_calls = 0
        self.num_withdrawn = 0

    async def wake(self, version: VersionId, pool: str | None = None) -> None:
        self.num_calls += 1
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.num_withdrawn += 1
            raise
        if self.error is not None:
            raise self.error


class Ward:
    """A cluster with one model, and requests for it."""

    def __init__(self, status: str, limits: WakingLimits = QUICK) -> None:
        self.cluster = Cluster((state("m@1", status),))
        self.sleeper = Sleeper()
        self.witness = Witness()
        self.waking = Waking(Catalog(self.cluster.fetch, LONG_S), self.sleeper, limits, self.witness)
        self.told: list[Progress] = []

    def change(self, status: str, reason: str | None = None) -> None:
        self.cluster.states = (state("m@1", status, reason),)

    def ask(self, timeout_s: float = LONG_S) -> asyncio.Task[ModelState]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        known = self.cluster.states[0]
        return asyncio.create_task(self.waking.until_ready(known, deadline, self.told.append))

    async def eventually(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not seen():  # noqa: ASYNC110  the fetch runs in a thread
                await asyncio.sleep(0.001)


async def test_a_model_that_is_ready_is_not_waited_for() -> None:
    ward = Ward("ready")
    assert await ward.ask() == state("m@1")
    assert (ward.cluster.num_fetches, ward.sleeper.num_calls, ward.told) == (0, 0, [])


@pytest.mark.parametrize(
    ("status", "words", "retry_after_s"),
    [("failed", "has failed", 30), ("waiting", "is waiting", 5), ("stopping", "is stopping", 5)],
)
async def test_a_model_that_will_not_come_is_refused_at_once(
    status: str, words: str, retry_after_s: float
) -> None:
    ward = Ward(status)
    ward.change(status, "no luck")
    with pytest.raises(ModelUnavailableError, match=f"model m@1 {words}: no luck") as refused:
        await ward.ask()
    assert (refused.value.retry_after_s, ward.sleeper.num_calls) == (retry_after_s, 0)


async def test_a_model_that_sleeps_is_woken_once_for_all_and_its_answer_lets_them_go() -> None:
    ward = Ward("asleep", NEVER_POLLS)
    asked = [ward.ask() for _ in range(5)]
    await ward.eventually(lambda: ward.sleeper.num_calls > 0)
    ward.change("ready")
    ward.sleeper.answer.set()
    assert {(await each).status for each in asked} == {"ready"}
    assert (ward.sleeper.num_calls, ward.sleeper.num_withdrawn, ward.cluster.num_fetches) == (1, 0, 1)


async def test_its_answer_counts_though_serve_has_not_seen_it_yet() -> None:
    ward = Ward("asleep", NEVER_POLLS)
    ward.sleeper.answer.set()
    found = await ward.ask()
    assert (found.status, found.ready, found.reason) == ("ready", True, None)


async def test_a_model_that_starts_is_waited_for_and_not_called() -> None:
    ward = Ward("starting")
    asked = ward.ask()
    await ward.eventually(lambda: ward.cluster.num_fetches > 2)
    assert not asked.done()
    ward.change("ready")
    assert (await asked).status == "ready"
    assert ward.sleeper.num_calls == 0


async def test_it_is_asked_for_until_it_is_ready_though_serve_calls_it_starting() -> None:
    ward = Ward("asleep")
    asked = ward.ask()
    await ward.eventually(lambda: ward.sleeper.num_calls > 0)
    ward.change("starting", "its replica is loading")
    await ward.eventually(lambda: len(ward.told) > 5)
    assert (ward.sleeper.num_calls, ward.sleeper.num_withdrawn) == (1, 0)
    ward.change("ready")
    await asked
    assert ward.sleeper.num_withdrawn == 1


async def test_who_waits_is_told_how_far_it_is() -> None:
    ward = Ward("asleep")
    asked = ward.ask()
    await ward.eventually(lambda: bool(ward.told))
    assert str(ward.told[0]) == "waiting for m@1: asleep (0 s)"
    ward.change("starting", "its replica is loading")
    await ward.eventually(lambda: ward.told[-1].state.status == "starting")
    assert str(ward.told[-1]) == "waiting for m@1: starting (0 s): its replica is loading"
    assert ward.told[-1].waited_s > ward.told[0].waited_s > 0
    ward.change("ready")
    await asked


@pytest.mark.parametrize("status", ["failed", "waiting", "stopping"])
async def test_a_start_that_comes_to_nothing_ends_the_wait_of_all(status: str) -> None:
    ward = Ward("asleep")
    asked = [ward.ask() for _ in range(2)]
    await ward.eventually(lambda: ward.sleeper.num_calls > 0)
    ward.change(status, "it needs 6.1 GiB of GPU memory")
    for each in asked:
        with pytest.raises(ModelUnavailableError, match=rf"m@1 (is|has) {status}: it needs 6.1 GiB"):
            await each
    assert ward.sleeper.num_withdrawn == 1


async def test_a_model_that_is_removed_ends_the_wait() -> None:
    ward = Ward("starting")
    asked = ward.ask()
    await ward.eventually(lambda: ward.cluster.num_fetches > 0)
    ward.cluster.states = ()
    with pytest.raises(ModelUnavailableError, match="m@1 is stopping: it is not deployed any more"):
        await asked


async def test_only_so_many_wait_and_the_rest_hear_when_to_come_back() -> None:
    ward = Ward("asleep")
    waiting = [ward.ask(), ward.ask()]
    await ward.eventually(lambda: ward.sleeper.num_calls > 0)
    with pytest.raises(ModelUnavailableError, match="m@1 is asleep, and 2 requests wait for it") as refused:
        await ward.ask()
    assert 5 < refused.value.retry_after_s <= 10
    ward.sleeper.answer.set()
    await asyncio.gather(*waiting)


async def test_when_to_come_back_is_known_from_the_last_time() -> None:
    ward = Ward("asleep")
    first = ward.ask()
    await ward.eventually(lambda: ward.sleeper.num_calls > 0)
    ward.sleeper.answer.set()
    await first
    ward.sleeper.answer.clear()
    waiting = [ward.ask(), ward.ask()]
    await ward.eventually(lambda: ward.sleeper.num_calls > 1)
    with pytest.raises(ModelUnavailableError) as refused:
        await ward.ask()
    assert refused.value.retry_after_s == 0.5  # it took a moment then
    ward.sleeper.answer.set()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("limits", [WakingLimits(wait_s=0.5, poll_s=0.005), QUICK], ids=["limit", "deadline"])
async def test_nobody_waits_longer_than_the_deadline_and_the_limit(limits: WakingLimits) -> None:
    ward = Ward("asleep", limits)
    ward.change("asleep")
    asked = ward.ask(timeout_s=0.5 if limits is QUICK else LONG_S)
    ward.change("starting", "its replica is loading")
    await ward.eventually(lambda: ward.sleeper.num_calls > 0)
    with pytest.raises(ModelUnavailableError, match="m@1 is starting: its replica is loading") as refused:
        await asked
    assert 5 < refused.value.retry_after_s <= 10
    assert ward.sleeper.num_withdrawn == 1


async def test_the_call_is_withdrawn_when_the_last_one_goes_and_not_before() -> None:
    ward = Ward("asleep")
    first, second = ward.ask(), ward.ask()
    await ward.eventually(lambda: ward.sleeper.num_calls > 0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert ward.sleeper.num_withdrawn == 0
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert ward.sleeper.num_withdrawn == 1


async def test_after_all_have_gone_the_next_one_wakes_it_again() -> None:
    ward = Ward("asleep")
    with pytest.raises(ModelUnavailableError):
        await ward.ask(timeout_s=0.02)
    ward.sleeper.answer.set()
    assert (await ward.ask()).status == "ready"
    assert ward.sleeper.num_calls == 2


async def test_a_replica_that_dies_while_it_is_woken_is_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ward = Ward("asleep")
    ward.sleeper.error = ModelUnavailableError("a replica of m@1 died")
    ward.sleeper.answer.set()
    asked = ward.ask()
    await ward.eventually(lambda: ward.sleeper.num_calls > 2)
    assert "The replica of m@1 that was being woken did not answer" in caplog.text
    ward.sleeper.error = None
    assert (await asked).status == "ready"


async def test_when_serve_does_not_tell_the_wait_goes_on_and_says_so() -> None:
    ward = Ward("starting")
    asked = ward.ask()
    ward.cluster.error = OSError("no controller")
    await ward.eventually(lambda: bool(ward.told) and ward.told[-1].state.reason is not None)
    assert "no controller" in str(ward.told[-1])
    ward.cluster.error = None
    ward.change("ready")
    assert (await asked).status == "ready"


@pytest.mark.parametrize("status", ["asleep", "starting"])
async def test_a_cold_start_is_told_once_with_its_time(status: str) -> None:
    ward = Ward(status)
    asked = [ward.ask() for _ in range(2)]
    await ward.eventually(lambda: ward.waking.num_waiting == {VersionId("m", "1"): 2})
    ward.change("ready")
    ward.sleeper.answer.set()
    await asyncio.gather(*asked)
    ((version, seconds),) = ward.witness.woken
    assert (version, ward.waking.num_waiting) == ("m@1", {})
    assert seconds is not None
    assert seconds > 0


async def test_a_cold_start_that_is_not_waited_for_to_its_end_is_given_up() -> None:
    ward = Ward("asleep")
    with pytest.raises(ModelUnavailableError):
        await ward.ask(timeout_s=0.02)
    assert ward.witness.woken == [("m@1", None)]
