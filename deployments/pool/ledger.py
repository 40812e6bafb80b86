"""Which models of a pool are in memory, and which go when another needs their place. Pure bookkeeping in bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from models.types import VersionId


class ByteLedger:
    """What is resident or about to be, never more than ``budget_bytes`` in sum.

    ``sizes`` are the planned bytes of every model that may come. A model with users is in use: requests run on it
    or wait for it. Neither that nor a pinned one makes room for others; of the rest, the least recently used goes
    first.
    """

    def __init__(self, budget_bytes: int, sizes: Mapping[VersionId, int], pinned: frozenset[VersionId]) -> None:
        self._budget_bytes = budget_bytes
        self._sizes = sizes
        self._pinned = pinned
        self._taken: dict[VersionId, int] = {}
        self._resident: dict[VersionId, None] = {}  # the least recently used first
        self._users: Counter[VersionId] = Counter()

    @property
    def budget_bytes(self) -> int:
        return self._budget_bytes

    @property
    def taken_bytes(self) -> int:
        """Of what is resident, being loaded or being closed."""
        return sum(self._taken.values())

    @property
    def resident(self) -> tuple[VersionId, ...]:
        """The least recently used first."""
        return tuple(self._resident)

    @property
    def held(self) -> tuple[VersionId, ...]:
        """What is resident, being loaded or being closed, without what waits for room. For any thread."""
        return tuple(model for model, size in self._taken.copy().items() if size == self._sizes[model])

    @property
    def idle(self) -> tuple[VersionId, ...]:
        """What makes room for others, the least recently used first."""
        return tuple(model for model in self._resident if not self._users[model] and model not in self._pinned)

    def pin(self, models: frozenset[VersionId]) -> None:
        """From now on these make no room for others, and all others do."""
        self._pinned = models

    def knows(self, model: VersionId) -> bool:
        """Whether it is one of those that may come."""
        return model in self._sizes

    def size(self, model: VersionId) -> int:
        """Its planned bytes."""
        return self._sizes[model]

    def num_users(self, model: VersionId) -> int:
        return self._users[model]

    def claim(self, model: VersionId) -> None:
        """One more user, whether the model is there or has to come first."""
        self._users[model] += 1
        self._touch(model)

    def release(self, model: VersionId) -> None:
        """One user less."""
        self._users[model] -= 1
        self._touch(model)

    def admit(self, model: VersionId) -> tuple[VersionId, ...] | None:
        """Reserve what is free for ``model``; the models to close first, or None while there is no room for it.

        The victims are resident no more, but their bytes stay taken until ``settle``.
        """
        if model in self._taken:
            return None  # it is still being closed
        size, free = self._sizes[model], self._budget_bytes - self.taken_bytes
        victims, freed = [], 0
        for candidate in self.idle:
            if free + freed >= size:
                break
            victims.append(candidate)
            freed += self._taken[candidate]
        if free + freed < size:
            return None
        for victim in victims:
            del self._resident[victim]
        self._taken[model] = min(free, size)
        return tuple(victims)

    def settle(self, model: VersionId, victims: tuple[VersionId, ...]) -> None:
        """The victims of an admitted model are closed: it has its whole size, and the rest is free."""
        for victim in victims:
            del self._taken[victim]
        self._taken[model] = self._sizes[model]

    def enter(self, model: VersionId) -> None:
        """An admitted model is loaded: it is resident, and the most recently used."""
        self._resident[model] = None

    def evict(self, model: VersionId) -> bool:
        """Take an idle resident model out, its bytes taken until ``free``; False when it is in use or absent."""
        if model not in self._resident or self._users[model]:
            return False
        del self._resident[model]
        return True

    def free(self, model: VersionId) -> None:
        """A model that was evicted is closed, or one that was admitted could not be loaded."""
        del self._taken[model]

    def missing_bytes(self, model: VersionId) -> int:
        """What users must still let go of before ``model`` can be admitted; 0 when nothing."""
        idle = sum(self._taken[candidate] for candidate in self.idle)
        return max(0, self._sizes[model] - (self._budget_bytes - self.taken_bytes) - idle)

    def _touch(self, model: VersionId) -> None:
        if model in self._resident:
            del self._resident[model]
            self._resident[model] = None
