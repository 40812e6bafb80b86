"""When a group has stopped, and because of whom. Pure: the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.errors import GroupError
from models.parallel.pulse import Pulse

# Of every rank of a group, None for one that did not answer when it was asked.
Pulses = Mapping[int, Pulse | None]


@dataclass(frozen=True, slots=True)
class Stall:
    """``culprits`` hold up all others, as far as can be told."""

    culprits: tuple[int, ...]
    seconds: float
    pulses: Pulses

    def __str__(self) -> str:
        states = "; ".join(f"rank {rank} {self.state_of(rank)}" for rank in sorted(self.pulses))
        who = " or ".join(f"rank {rank}" for rank in self.culprits)
        return f"{who} holds up the group, in which nothing has moved for {self.seconds:.0f} s: {states}"

    def state_of(self, rank: int) -> str:
        """What it did when it was last asked."""
        pulse = self.pulses[rank]
        if pulse is None:
            return "does not answer"
        others = f" (rank {', '.join(map(str, pulse.waits_for))})" if pulse.waits_for else ""
        return f"{pulse.doing}{others}"

    def error(self) -> GroupError:
        """For those that wait for an answer of the group."""
        return GroupError(str(self), remedy="see the log of that rank; the group starts anew")


class StallWatch:
    """Finds a group stalled when work is in flight and no count of any rank has moved for ``stall_timeout_s``.

    However slow, a group whose counts move is healthy; and so is one that has nothing to do.
    """

    def __init__(self, stall_timeout_s: float, clock: Callable[[], float]) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._clock = clock
        self._counts: dict[int, int] = {}
        self._moved_s = clock()

    def look(self, pulses: Pulses, *, in_flight: bool) -> Stall | None:
        """The stall, if there is one. To be called several times within ``stall_timeout_s``."""
        counts = self._counts | {rank: pulse.count for rank, pulse in pulses.items() if pulse}
        if counts != self._counts or not in_flight:
            self._counts = counts
            self._moved_s = self._clock()
            return None
        seconds = self._clock() - self._moved_s
        return Stall(_culprits(pulses), seconds, pulses) if seconds >= self._stall_timeout_s else None


def _culprits(pulses: Pulses) -> tuple[int, ...]:
    """Those that do not answer; else, of those that work, the ones that others wait for; else all that work.

    When all wait for each other, all of them.
    """
    answering = {rank: pulse for rank, pulse in pulses.items() if pulse}
    waited_for = {rank for pulse in answering.values() for rank in pulse.waits_for}
    working = {rank for rank, pulse in answering.items() if not pulse.waits_for}
    blamed = working & waited_for
    # What the slices of a stage do together, an all_reduce say, waits for all of them.
    places = {answering[rank].doing for rank in blamed}
    blamed |= {rank for rank in working if answering[rank].doing in places}
    found = (pulses.keys() - answering.keys()) or blamed or working or answering.keys()
    return tuple(sorted(found))
