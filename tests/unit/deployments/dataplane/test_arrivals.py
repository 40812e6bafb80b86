"""What a router replica counts of the requests that it holds."""

from __future__ import annotations

import pytest

from deployments.dataplane.arrivals import Arrivals, PromptSize
from deployments.scaling.demand import VersionDemand
from models.errors import ModelUnavailableError
from models.types import Usage, VersionId
from tests.unit.deployments.clocks import Clock
from tests.unit.deployments.live_models import state
from tests.unit.deployments.planes import GREEDY, a_call, make_rig, waiting_up_to

M = VersionId("m", "1")
MOST = Usage(400, 100)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arrivals(clock: Clock) -> Arrivals:
    return Arrivals(clock)


def test_a_request_waits_is_under_way_and_is_gone(arrivals: Arrivals, clock: Clock) -> None:
    request = arrivals.come(M, MOST)
    clock.now += 3
    waiting = VersionDemand(num_waiting=1, waiting_tokens=100, oldest_wait_s=3, num_arrived=1, arrived_tokens=100)
    assert arrivals.demand() == {"m@1": waiting}
    request.enter()
    assert arrivals.demand() == {"m@1": VersionDemand(num_under_way=1, num_arrived=1, arrived_tokens=100)}
    request.leave()
    assert arrivals.demand() == {"m@1": VersionDemand(num_arrived=1, arrived_tokens=100)}


def test_one_that_is_refused_has_come_all_the_same(arrivals: Arrivals) -> None:
    arrivals.come(M, MOST).leave()
    assert arrivals.demand() == {"m@1": VersionDemand(num_arrived=1, arrived_tokens=100)}


def test_who_waits_for_a_replica_is_told_apart(arrivals: Arrivals) -> None:
    first, second = arrivals.come(M, MOST), arrivals.come(M, MOST)
    for each in (first, second):
        each.wake()
    assert arrivals.demand()["m@1"].num_waking == 2
    first.be_up()
    assert (arrivals.demand()["m@1"].num_waking, arrivals.demand()["m@1"].num_waiting) == (1, 2)
    second.leave()  # it has lost patience
    assert (arrivals.demand()["m@1"].num_waking, arrivals.demand()["m@1"].num_waiting) == (0, 1)


def test_the_oldest_that_still_waits_counts(arrivals: Arrivals, clock: Clock) -> None:
    requests = []
    for _ in range(3):
        requests.append(arrivals.come(M, MOST))
        clock.now += 1
    requests[0].enter()
    assert arrivals.demand()["m@1"].oldest_wait_s == 2
    requests[2].leave()
    assert arrivals.demand()["m@1"].oldest_wait_s == 2


def test_prompts_are_expected_to_be_as_those_before() -> None:
    size = PromptSize()
    assert size.expect(400) == 100
    for _ in range(200):
        size.learn(400, 40)
    assert size.expect(1000) == pytest.approx(100, rel=0.01)
    for _ in range(200):
        size.learn(100, 100)  # token ids: as many as the bound says
    assert size.expect(10) == pytest.approx(10, rel=0.01)


async def test_what_the_data_plane_does_is_counted() -> None:
    rig = await make_rig("m@1")
    rig.answer("m@1")
    stream = await rig.plane.generate("m@1", GREEDY, a_call())
    assert rig.arrivals.demand()["m@1"].num_under_way == 1
    assert [chunk.text async for chunk in stream]
    await stream.aclose()
    after = rig.arrivals.demand()["m@1"]
    assert (after.num_waiting, after.num_under_way, after.num_arrived) == (0, 0, 1)
    learnt = rig.arrivals.come(M, MOST)
    assert learnt._tokens < 100  # the prompt of 13 bytes at most had 3


async def test_one_that_waits_in_vain_for_a_sleeping_model_is_not_left_behind() -> None:
    rig = await make_rig(patience=waiting_up_to(0.02))
    await rig.change(state("m@1", "asleep"))
    with pytest.raises(ModelUnavailableError):
        await rig.plane.generate("m@1", GREEDY, a_call())
    gone = rig.arrivals.demand()["m@1"]
    assert (gone.num_waiting, gone.num_waking, gone.num_under_way, gone.num_arrived) == (0, 0, 0, 1)
