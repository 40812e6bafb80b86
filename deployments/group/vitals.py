"""What a rank says of itself when it is asked how it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import OverloadedError
from models.parallel.pulse import Pulse


@dataclass(frozen=True, slots=True)
class Vitals:
    """How far a rank is, and what its memory asks of the group.

    ``refusal``: the answer to new work while it is over its budget, where it is to shed. ``fault``: why it should
    be replaced.
    """

    pulse: Pulse
    refusal: OverloadedError | None = None
    fault: str | None = None


# Of every rank, None for one that did not answer when it was asked.
GroupVitals = Mapping[int, Vitals | None]


def pulses_of(vitals: GroupVitals) -> dict[int, Pulse | None]:
    """How far each is."""
    return {rank: each.pulse if each else None for rank, each in vitals.items()}


def refusal_of(vitals: GroupVitals) -> OverloadedError | None:
    """Of the first rank that has one."""
    return next((each.refusal for _, each in sorted(vitals.items()) if each and each.refusal), None)


def fault_of(vitals: GroupVitals) -> str | None:
    """As ``refusal_of``."""
    return next((each.fault for _, each in sorted(vitals.items()) if each and each.fault), None)
