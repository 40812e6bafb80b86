"""One router replica's lease on one counter, as the replica itself sees it."""

from __future__ import annotations

from deployments.limits.amounts import Unit
from deployments.limits.demand import Demand
from deployments.limits.limit_set import Counter
from deployments.limits.sizing import Grant, Order

_WHILE_OTHERS_HOLD_IT_S = 1.0


class Lease:
    """Amounts in the limit's unit; times in seconds since the epoch.

    ``amount`` is what the database has granted. Parts of it are ``reserved``, which requests under way took, and
    ``unbooked``, which finished ones used and the database does not count yet.
    """

    __slots__ = (
        "_at_last_one",
        "_contested",
        "_fair",
        "_is_returned",
        "_room",
        "_spent",
        "_unmet",
        "amount",
        "counter",
        "demand",
        "ends_at",
        "limit",
        "reserved",
        "unbooked",
        "unit",
    )

    def __init__(self, counter: Counter, limit: int, ends_at: float, demand: Demand) -> None:
        self.counter = counter
        self.unit = counter.limit.unit
        self.limit = limit
        self.ends_at = ends_at
        self.amount = self.reserved = self.unbooked = 0
        self.demand = demand
        self._at_last_one = False  # a request under way took all that was left, less than it asked for
        self._spent, self._room, self._fair = 0, limit, limit
        self._unmet, self._contested = 0, False
        self._is_returned = True  # the database holds nothing of it for this replica

    @property
    def available(self) -> int:
        """What new requests can have; negative where others went beyond what was granted."""
        return self.amount - self.reserved - self.unbooked

    @property
    def outstanding(self) -> int:
        """What requests took and the database does not count yet."""
        return self.reserved + self.unbooked

    @property
    def used(self) -> int:
        """What the database counted when it was last asked, and what is outstanding here."""
        return self._spent + self.outstanding

    @property
    def remaining(self) -> int:
        """What is left of the limit, as far as this replica knows, without what other replicas hold."""
        return max(0, min(self.limit, self._room + self.available))

    @property
    def is_dry(self) -> bool:
        """Whether the database had less than was needed, when it was last asked."""
        return self._unmet > 0

    def admits(self, asked: int) -> bool:
        """Whether a request can have what it asks for, or all that is left if no other one is doing so."""
        available = self.available
        return asked <= available or asked == 0 or (available > 0 and self.is_dry and not self._at_last_one)

    def take(self, asked: int) -> int:
        """Reserve what ``admits`` allowed; returns how much that is."""
        self.demand.note(asked)
        taken = min(asked, max(0, self.available))
        self._at_last_one = self._at_last_one or taken < asked
        self.reserved += taken
        return taken

    def overdraw(self, asked: int) -> int:
        """Reserve more than was granted."""
        self.demand.note(asked)
        self.reserved += asked
        return asked

    def settle(self, asked: int, taken: int, used: int) -> None:
        """A request that asked for so much and took so much has used so much."""
        self.reserved -= taken
        if taken < asked:
            self._at_last_one = False
        if self.unit is not Unit.SLOTS:
            self.unbooked += used

    def retry_after_s(self, now: float) -> float:
        """When there is more: with the next window, or soon where the rest is only held and not used."""
        left_s = max(0.0, self.ends_at - now)
        return left_s if self._spent + self.unbooked >= self.limit else min(left_s, _WHILE_OTHERS_HOLD_IT_S)

    def order(self, now: float) -> Order:
        """What is wanted of the database. What is more than that is given up here, at once and for good."""
        yields = self._contested and self.demand.is_quiet
        wish, needed = self.demand.look(now)
        free = min(max(0, self.available), 0 if yields else min(wish, self._fair))
        held = self.outstanding + free
        self.amount = min(self.amount, held)
        self._is_returned = False
        more = 0 if yields else wish - free
        return Order(self.counter, self.limit, self.ends_at, held=held, free=free, more=more, need=needed)

    def accept(self, grant: Grant) -> None:
        """What the database answered to the last order.

        Slots are not used up: while others wait, those above an even share are not taken again as they come back.
        """
        gives_way = grant.contested and self.unit is Unit.SLOTS
        self.amount = min(grant.amount, grant.share) if gives_way else grant.amount
        self._is_returned = grant.amount == 0
        self._spent, self._room, self._fair = grant.spent, grant.room, grant.fair
        self._unmet, self._contested = grant.unmet, grant.contested

    def book(self, booked: int) -> None:
        """The database now counts so much of what this replica used."""
        self.unbooked = max(0, self.unbooked - booked)  # a restored database counts old lines once more

    def forfeit(self) -> None:
        """The database has taken back what nobody uses."""
        self.amount = min(self.amount, self.outstanding)

    def is_over(self, now: float) -> bool:
        """Whether it can be forgotten: nothing is outstanding, and the window has passed or nobody asks."""
        return self.outstanding == 0 and (self.ends_at <= now or (self.demand.is_over and self._is_returned))
