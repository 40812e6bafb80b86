"""Which places of the plan on a node are taken: one locked file for each, for as long as its replica lives."""

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


@dataclass(frozen=True, slots=True)
class Claim:
    """A place, taken until ``release`` or until the process ends, however it ends."""

    place: Place
    _lock: BaseFileLock = field(repr=False)

    def release(self) -> None:
        self._lock.release()


class PlaceLedger:
    """The places of one node, whose processes all give the same local ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self, model: VersionId, places: Sequence[Place], wait_s: float) -> Claim:
        """A free one of ``places``, the first that there is.

        Where none is free, a replica that ends may be about to leave one: waits ``wait_s``. ConfigError when that
        was in vain, or when ``places`` is empty.
        """
        deadline = time.monotonic() + wait_s
        locks = list(self._locks(model, places))
        while True:
            for place, lock in locks:
                if _try(lock):
                    return Claim(place, lock)
            if time.monotonic() >= deadline:
                raise ConfigError(
                    f"all {len(places)} places of {model} on this node are taken",
                    remedy="let no more replicas run than the plan has places; Serve starts this one again, "
                    "where Ray finds another node",
                )
            time.sleep(_POLL_S)

    def _locks(self, model: VersionId, places: Sequence[Place]) -> Iterator[tuple[Place, BaseFileLock]]:
        """Named by the devices, so that a new plan of the same version cannot take a device twice."""
        folder = self._folder / str(model)
        folder.mkdir(parents=True, exist_ok=True)
        seen: Counter[Place] = Counter()
        for place in places:
            stem = "+".join(map(str, place.devices))
            yield place, FileLock(folder / f"{stem}.{seen[place]}.lock", thread_local=False)
            seen[place] += 1


def _try(lock: BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
