"""Which places of the plan on a node are taken: one locked file for each, for as long as their replica lives."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from deployments.args import Place
from models.errors import ConfigError
from models.types import VersionId

_POLL_S = 0.1
# As long as a replica that ends may take to leave its place.
PLACE_WAIT_S = 25.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Places, taken until ``release`` or until the process ends, however it ends."""

    places: tuple[Place, ...]
    _locks: tuple[BaseFileLock, ...] = field(repr=False)

    def release(self) -> None:
        for lock in self._locks:
            lock.release()


class PlaceLedger:
    """The places of one node, whose processes all give the same local ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(
        self,
        model: VersionId,
        places: Sequence[Place],
        wait_s: float,
        wanted: Sequence[Sequence[int]] | None = None,
    ) -> Claim:
        """A free one of ``places``, the first that there is; or for each of ``wanted``, which are indices of
        ``places``, one of those, so that no GPU is taken twice.

        ``places`` are all that the plan has on this node. Where none is free, a replica that ends may be about to
        leave one: waits ``wait_s``. ConfigError when that was in vain, or when ``places`` is empty.
        """
        deadline = time.monotonic() + wait_s
        locks = list(self._locks(model, places))
        choices = [range(len(places))] if wanted is None else wanted
        while True:
            taken = _take(places, locks, choices, ())
            if taken is not None:
                return Claim(tuple(places[index] for index in taken), tuple(locks[index] for index in taken))
            if time.monotonic() >= deadline:
                raise ConfigError(
                    f"all {len(places)} places of {model} on this node are taken",
                    remedy="let no more replicas run than the plan has places; Serve starts this one again, "
                    "where Ray finds another node",
                )
            time.sleep(_POLL_S)

    def _locks(self, model: VersionId, places: Sequence[Place]) -> Iterator[BaseFileLock]:
        """Named by the devices, so that a new plan of the same version cannot take a device twice."""
        folder = self._folder / str(model)
        folder.mkdir(parents=True, exist_ok=True)
        seen: Counter[Place] = Counter()
        for place in places:
            stem = "+".join(map(str, place.devices))
            yield FileLock(folder / f"{stem}.{seen[place]}.lock", thread_local=False)
            seen[place] += 1


def _take(
    places: Sequence[Place],
    locks: Sequence[BaseFileLock],
    wanted: Sequence[Sequence[int]],
    taken: tuple[int, ...],
) -> tuple[int, ...] | None:
    """The rest of ``wanted`` beside what is ``taken``; None, and nothing more locked, where one finds no place."""
    if len(taken) == len(wanted):
        return taken
    devices = {device for index in taken for device in places[index].devices}
    for index in wanted[len(taken)]:
        if devices.isdisjoint(places[index].devices) and _try(locks[index]):
            found = _take(places, locks, wanted, (*taken, index))
            if found is not None:
                return found
            locks[index].release()
    return None


def _try(lock: BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
