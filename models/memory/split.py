"""Which run of consecutive layers each stage of a pipeline gets. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def split_units(
    unit_bytes: Sequence[int], num_stages: int, first_bytes: int = 0, last_bytes: int = 0
) -> list[int]:
    """For each stage the unit after its last one, so that the largest stage is as small as it can be.

    ``unit_bytes``: what each run of layers takes that stays together; ``first_bytes`` and ``last_bytes`` what only
    the first and the last stage have. Of splits that are as good, the one whose last stage is smallest: its rank
    also schedules. There are at least as many units as stages.
    """
    low, high = max(unit_bytes), first_bytes + sum(unit_bytes) + last_bytes
    while low < high:
        middle = (low + high) // 2
        if _stops(unit_bytes, num_stages, first_bytes, last_bytes, middle) is None:
            low = middle + 1
        else:
            high = middle
    stops = _stops(unit_bytes, num_stages, first_bytes, last_bytes, low)
    if stops is None:
        raise ValueError(f"{len(unit_bytes)} runs of layers do not make {num_stages} stages")
    return stops


def _stops(
    unit_bytes: Sequence[int], num_stages: int, first_bytes: int, last_bytes: int, most_bytes: int
) -> list[int] | None:
    """Every stage but the last as full as ``most_bytes`` allow; None when the last does not hold the rest."""
    stops: list[int] = []
    start, used = 0, first_bytes
    for stage in range(num_stages - 1):
        stop = start
        while stop < len(unit_bytes) - (num_stages - 1 - stage) and used + unit_bytes[stop] <= most_bytes:
            used += unit_bytes[stop]
            stop += 1
        if stop == start:
            return None
        stops.append(stop)
        start, used = stop, 0
    if used + sum(unit_bytes[start:]) + last_bytes > most_bytes or start == len(unit_bytes):
        return None
    return [*stops, len(unit_bytes)]
