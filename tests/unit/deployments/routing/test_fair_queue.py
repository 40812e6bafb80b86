"""Interactive before batch, in bounded numbers: who goes first, and who has to go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deployments.identity.caller import Priority
from deployments.routing.fair_queue import BATCH_TURN_OF, FairQueue, QueueBounds
from deployments.routing.fair_share import Ticket

BOUNDS = QueueBounds(max_waiting=6, max_waiting_per_tenant=3)
OF_BATCH = QueueBounds(5, 3)
WIDE = QueueBounds(1000, 1000)
TICKETS = st.builds(
    Ticket, st.sampled_from(Priority), st.sampled_from("abc"), st.sampled_from([1.0, 2.0])
)  # fmt: skip


def interactive(tenant: str = "a") -> Ticket:
    return Ticket(Priority.INTERACTIVE, tenant, 1.0)


def batch(tenant: str = "a") -> Ticket:
    return Ticket(Priority.BATCH, tenant, 1.0)


def filled(bounds: QueueBounds, *tickets: Ticket) -> FairQueue[Ticket]:
    queue: FairQueue[Ticket] = FairQueue(bounds)
    for ticket in tickets:
        assert queue.push(ticket) is None
    return queue


def test_interactive_requests_go_first() -> None:
    first, second, third = batch(), interactive(), interactive()
    queue = filled(WIDE, first, second, third)
    assert [queue.pop(batch=True) for _ in range(4)] == [second, third, first, None]


def test_batch_requests_that_may_not_go_are_left_out() -> None:
    waiting = batch()
    queue = filled(WIDE, waiting)
    assert queue.pop(batch=False) is None
    assert queue.pop(batch=True) is waiting


def test_batch_has_its_small_share_of_the_turns() -> None:
    queue = filled(WIDE, *(interactive() for _ in range(200)), *(batch() for _ in range(200)))
    taken = [queue.pop(batch=True) for _ in range(200)]
    turns = [place for place, ticket in enumerate(taken, 1) if ticket and ticket.priority is Priority.BATCH]
    assert turns == list(range(BATCH_TURN_OF, 201, BATCH_TURN_OF))


def test_the_newest_goes_when_the_queue_is_full() -> None:
    queue = filled(BOUNDS, *(interactive(tenant) for tenant in "aabbcc"))
    for newcomer in (interactive("d"), batch("d")):
        assert queue.push(newcomer) is newcomer
    assert len(queue) == 6


def test_the_newest_of_a_full_tenant_goes_though_the_queue_has_room() -> None:
    queue = filled(BOUNDS, interactive(), batch(), interactive())
    assert queue.push(newcomer := batch()) is newcomer
    assert queue.push(batch("b")) is None


def test_batch_requests_leave_room_in_the_queue() -> None:
    assert BOUNDS.for_priority(Priority.BATCH) == OF_BATCH
    queue = filled(BOUNDS, *(batch(tenant) for tenant in "aabbc"))
    assert queue.push(last := batch("d")) is last
    assert queue.push(interactive("d")) is None


def test_an_interactive_request_takes_the_place_of_the_newest_batch_request() -> None:
    old, new = batch("a"), batch("b")
    queue = filled(BOUNDS, old, new, *(interactive(tenant) for tenant in "abcc"))
    assert queue.push(interactive("d")) is new
    assert queue.push(interactive("d")) is old
    assert queue.push(last := interactive("d")) is last


def test_of_a_full_tenant_a_batch_request_of_its_own_has_to_go() -> None:
    own = batch("a")
    queue = filled(BOUNDS, own, interactive("a"), interactive("a"), batch("b"))
    assert queue.push(interactive("a")) is own
    assert queue.push(last := interactive("a")) is last


@given(st.lists(TICKETS, max_size=60), st.integers(0, 40), TICKETS)
def test_how_many_go_first_is_known_beforehand(tickets: list[Ticket], num_served: int, newcomer: Ticket) -> None:
    queue = filled(WIDE, *tickets)
    for _ in range(num_served):
        queue.pop(batch=True)
    said = queue.ahead_of(newcomer)
    queue.push(newcomer)
    went_first = 0
    while queue.pop(batch=True) is not newcomer:
        went_first += 1
    own_ties = 3  # as of start-time fair queueing, and for a batch request so many interactive turns for each
    slack = own_ties * (BATCH_TURN_OF if newcomer.priority is Priority.BATCH else 2)
    assert went_first <= said <= went_first + slack


class Queueing(RuleBasedStateMachine):
    """Any order of arrivals, turns and departures: the bounds hold, and everyone leaves exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[Ticket] = FairQueue(BOUNDS)
        self.waiting: list[Ticket] = []

    @rule(ticket=TICKETS)
    def arrive(self, ticket: Ticket) -> None:
        ticket = Ticket(ticket.priority, ticket.tenant, ticket.weight)
        self.waiting.append(ticket)
        displaced = self.queue.push(ticket)
        if displaced is not None:
            self.waiting.remove(displaced)
            assert displaced is ticket or (displaced.priority, ticket.priority) == tuple(Priority)[::-1]

    @rule(allowed=st.booleans())
    def take_a_turn(self, allowed: bool) -> None:
        taken = self.queue.pop(batch=allowed)
        may_go = [each for each in self.waiting if allowed or each.priority is Priority.INTERACTIVE]
        assert (taken is None) == (not may_go)
        if taken is not None:
            same = [t for t in self.waiting if (t.tenant, t.priority) == (taken.tenant, taken.priority)]
            assert taken is same[0]
            self.waiting.remove(taken)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        leaving = data.draw(st.sampled_from(self.waiting))
        self.queue.discard(leaving)
        self.waiting.remove(leaving)

    @invariant()
    def is_within_its_bounds(self) -> None:
        assert len(self.queue) == len(self.waiting) <= BOUNDS.max_waiting
        for tenant in "abc":
            num = sum(ticket.tenant == tenant for ticket in self.waiting)
            assert num <= BOUNDS.max_waiting_per_tenant


TestQueueing = Queueing.TestCase
