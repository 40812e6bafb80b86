"""The places of one version: who has one, who waits, and how long that will probably be."""

from __future__ import annotations

import pytest

from deployments.identity.caller import Priority
from deployments.routing.fair_queue import QueueBounds
from deployments.routing.fair_share import Ticket
from deployments.routing.lane import Lane, LaneLimits

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH


def ticket(priority: Priority = INTERACTIVE, tenant: str = "a") -> Ticket:
    return Ticket(priority, tenant, 1.0)


def lane(capacity: int, batch_share: float = 0.5) -> Lane[Ticket]:
    made: Lane[Ticket] = Lane(LaneLimits(batch_share=batch_share, interactive_wait_s=4.0))
    assert made.resize(capacity) == []
    return made


@pytest.mark.parametrize("share", [0.0, 1.1, -1.0])
def test_the_share_of_batch_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="batch_share"):
        LaneLimits(batch_share=share)


def test_there_are_as_many_places_as_its_capacity() -> None:
    places = lane(2)
    assert [places.take(INTERACTIVE) for _ in range(3)] == [True, True, False]
    assert places.num_under_way == 2


@pytest.mark.parametrize(("capacity", "of_batch"), [(1, 1), (2, 1), (4, 2), (5, 2)])
def test_batch_requests_take_their_share_of_the_places(capacity: int, of_batch: int) -> None:
    places = lane(capacity)
    taken = [places.take(BATCH) for _ in range(capacity + 1)]
    assert sum(taken) == of_batch
    assert places.take(INTERACTIVE) == (of_batch < capacity)


def test_who_leaves_lets_the_next_one_in() -> None:
    places = lane(1)
    assert places.take(INTERACTIVE)
    first, second = ticket(), ticket()
    assert places.wait(first) is None
    assert places.wait(second) is None
    assert places.leave(INTERACTIVE, 1.0) == [first]
    places.give_up(second)
    assert places.leave(INTERACTIVE, 1.0) == []
    assert (places.num_under_way, places.num_waiting) == (0, 0)


def test_an_interactive_place_is_no_batch_request_s() -> None:
    places = lane(2)
    assert places.take(BATCH)
    assert places.take(INTERACTIVE)
    waiting = ticket(BATCH)
    places.wait(waiting)
    assert places.leave(INTERACTIVE) == []
    assert places.leave(BATCH) == [waiting]


def test_more_places_let_more_in_and_fewer_put_nobody_out() -> None:
    places = lane(1)
    assert places.take(INTERACTIVE)
    waiting = [ticket() for _ in range(3)]
    for each in waiting:
        places.wait(each)
    assert places.resize(3) == waiting[:2]
    assert places.resize(1) == []
    assert places.num_under_way == 3
    assert places.leave(INTERACTIVE) == []
    assert places.leave(INTERACTIVE) == []
    assert places.leave(INTERACTIVE) == waiting[2:]


def test_the_expected_wait_is_the_place_in_the_queue_times_the_time_of_service() -> None:
    places = lane(4)
    assert places.expected_wait_s(ticket()) is None
    for _ in range(4):
        places.take(INTERACTIVE)
    places.leave(INTERACTIVE, 2.0)
    places.take(INTERACTIVE)
    assert places.expected_wait_s(ticket()) == pytest.approx(2.0 / 4)
    for _ in range(3):
        places.wait(ticket())
    assert places.expected_wait_s(ticket()) == pytest.approx(4 * 2.0 / 4)
    assert places.expected_wait_s(ticket(tenant="b")) == pytest.approx(2 * 2.0 / 4)  # its turn is the second
    assert places.expected_wait_s(ticket(BATCH)) == pytest.approx(4 * 2.0 / 2)


def test_the_time_of_service_follows_the_recent_ones() -> None:
    places = lane(1)
    for _ in range(40):
        assert places.take(INTERACTIVE)
        places.leave(INTERACTIVE, 10.0)
    for _ in range(20):
        assert places.take(INTERACTIVE)
        places.leave(INTERACTIVE, 1.0)
    assert places.expected_wait_s(ticket()) == pytest.approx(1.0, rel=0.2)


def test_only_interactive_requests_are_impatient() -> None:
    places = lane(1)
    assert (places.patience_s(ticket(), 60.0), places.patience_s(ticket(), 1.0)) == (4.0, 1.0)
    assert places.patience_s(ticket(BATCH), 60.0) == 60.0


def test_a_lane_without_places_lets_nobody_in_and_expects_nothing() -> None:
    places: Lane[Ticket] = Lane(LaneLimits(QueueBounds(2, 2)))
    assert not places.take(INTERACTIVE)
    assert places.expected_wait_s(ticket()) is None
    waiting = [ticket(BATCH), ticket()]
    for each in waiting:
        places.wait(each)
    assert places.drain() == waiting[::-1]
    assert places.num_waiting == 0
