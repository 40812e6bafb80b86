"""What a rank checks on its node before a group starts, all at the same time.

Every check has a bound but that of the files, which takes as long as it takes: its hashes tell how far they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from models.errors import GroupError, StowageError
from models.parallel.addresses import Address
from models.parallel.bounded import start
from models.parallel.device_state import DeviceState
from models.parallel.file_check import KnownHashes, check_needed_files
from models.parallel.greeting import Doorway, Endpoint, greet
from models.parallel.report import Check, Finding, RankReport
from models.store import StoredModel

T = TypeVar("T")

_LOOK_AT_THE_NODE = "see the log of the rank's worker, and the health of its node"


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a rank sits: on ``node``, which the others reach under ``host``, an IP address."""

    rank: int
    node: str
    host: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What the plan says that the rank uses: bytes of its device, and of the version these tensors.

    ``held_tensors``, their names, is asked once the files that say so were found to be whole.
    """

    budget_bytes: int
    stored: StoredModel
    held_tensors: Callable[[], Collection[str]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rank sees of its node: its device, versions of its code, and the hashes that the node remembers."""

    look_at_device: Callable[[], DeviceState]
    versions: Mapping[str, str]
    hashes: KnownHashes


class Preflight:
    """A rank's part: it can be greeted from now on, and reports once it knows where the others can be.

    ``token`` is the group's secret, ``check_s`` what each check with a bound may take; ``port`` 0 is any free one.
    GroupError when it cannot listen.
    """

    def __init__(
        self, seat: Seat, token: bytes, check_s: float, surroundings: Surroundings, port: int = 0
    ) -> None:
        self._seat = seat
        self._token = token
        self._check_s = check_s
        self._surroundings = surroundings
        self._doorway = _open(seat, port, token, check_s)

    @property
    def endpoint(self) -> Endpoint:
        """Where the others greet this rank."""
        return self._doorway.endpoint

    def report(self, needs: Needs, peers: Sequence[Endpoint]) -> RankReport:
        """Check all; ``peers`` are those that the rank will talk to. What fails is not raised but reported."""
        device = start(self._surroundings.look_at_device)
        greetings = [start(partial(self._greet, peer)) for peer in peers]
        hashes = self._surroundings.hashes
        files = start(partial(check_needed_files, needs.stored, needs.held_tensors, hashes))
        found_device = _finding(Check.DEVICE, device, self._check_s)
        wait(greetings, self._check_s)
        reached = [_finding(Check.INTERCONNECT, greeting, 0) for greeting in greetings]
        found_files = _finding(Check.FILES, files, None)
        return RankReport(
            rank=self._seat.rank,
            node=self._seat.node,
            budget_bytes=needs.budget_bytes,
            versions=self._surroundings.versions,
            device=device.result() if found_device.is_ok else None,
            findings=(found_device, *reached, found_files),
        )

    def close(self) -> None:
        """Listen no more; to be called once all ranks have reported."""
        self._doorway.close()

    def _greet(self, peer: Endpoint) -> str:
        return greet(self._seat.rank, peer, self._token, self._check_s / 2)


def _open(seat: Seat, port: int, token: bytes, within_s: float) -> Doorway:
    try:
        return Doorway(seat.rank, Address(seat.host, port), token, within_s)
    except GroupError as error:
        where = f"rank {seat.rank} on node {seat.node}"
        raise GroupError(f"{where}: {Check.INTERCONNECT}: {error.message}", remedy=error.remedy) from error


def _finding(check: Check, outcome: Future[T], within_s: float | None) -> Finding:
    wait([outcome], within_s)
    if not outcome.done():
        return Finding(check, "it did not end in time", _LOOK_AT_THE_NODE)
    error = outcome.exception()
    if error is None:
        return Finding(check, str(outcome.result()))
    if isinstance(error, StowageError):
        return Finding(check, error.message, error.remedy or _LOOK_AT_THE_NODE)
    return Finding(check, f"{type(error).__name__}: {error}", _LOOK_AT_THE_NODE)
