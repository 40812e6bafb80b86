"""Looks after a group that serves: one rank that ends, fails or hangs ends the whole group, with a cause."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from deployments.group.record import FailureKind, GroupFailure, kind_of
from deployments.group.vitals import Vitals, fault_of, pulses_of, refusal_of
from deployments.group.workers import Pulses, Runs
from models.errors import EngineError, OverloadedError
from models.parallel.stall import StallWatch

logger = logging.getLogger("ray.serve")

_PERIOD_S = 1.0
# A rank that is gone breaks the connections of all others, who may tell of it before Ray does.
_GRACE_S = 3.0


class Leader(Protocol):
    """What the watch asks of the group's own process."""

    def vitals(self) -> Vitals:
        """Of rank 0."""

    def is_busy(self) -> bool:
        """Whether the group has work."""

    def check(self) -> None:
        """EngineError when the engine can no longer serve."""


class GroupWatch:
    """``on_failure`` is called once, on the watch's thread, with what ended the group."""

    def __init__(
        self,
        runs: Runs,
        pulses: Pulses,
        stall: StallWatch,
        leader: Leader,
        on_failure: Callable[[GroupFailure], None],
    ) -> None:
        self._runs = runs
        self._pulses = pulses
        self._stall = stall
        self._leader = leader
        self._on_failure = on_failure
        self._last: dict[int, Vitals] = {}
        self._done = threading.Event()

    def start(self) -> None:
        """Look again and again, on a thread of its own."""
        threading.Thread(target=self._run, name="group-watch", daemon=True).start()

    def close(self) -> None:
        """Whatever ends from now on was meant to."""
        self._done.set()

    def refusal(self) -> OverloadedError | None:
        """The answer to new work while a rank is over its budget and the group sheds."""
        return refusal_of(self._last)

    def look(self) -> GroupFailure | None:
        """What has failed, if anything has. Takes about a second where nothing has."""
        own = self._own_error()
        if self._runs.wait_for_one(_PERIOD_S) or own:
            self._runs.wait_for_all(_GRACE_S)
            return self._runs.failure() or (own and self._silent_worker(own)) or _failure_of(own)
        vitals = {0: self._leader.vitals(), **self._pulses.feel(_PERIOD_S)}
        self._last = self._last | {rank: each for rank, each in vitals.items() if each}
        if fault := fault_of(vitals):
            return GroupFailure(FailureKind.OVER_BUDGET, fault, time.time())
        stall = self._stall.look(pulses_of(vitals), in_flight=self._leader.is_busy())
        return GroupFailure(FailureKind.STALLED, str(stall), time.time()) if stall else None

    def _silent_worker(self, own: EngineError) -> GroupFailure | None:
        """A node that goes as a whole takes its rank's connections with it, and Ray misses it only later."""
        silent = [rank for rank, vitals in self._pulses.feel(_PERIOD_S).items() if vitals is None]
        if not silent:
            return None
        who = " and ".join(self._pulses.name(rank) for rank in silent)
        return GroupFailure(FailureKind.DIED, f"{who} does not answer; rank 0: {own}", time.time())

    def _own_error(self) -> EngineError | None:
        try:
            self._leader.check()
        except EngineError as error:
            return error
        return None

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                failure = self.look()
            except Exception as error:  # unwatched, a group that fails would hang
                logger.exception("The watch over the group has failed.")
                failure = _failure_of(error)
            if failure is not None and not self._done.is_set():
                self._done.set()
                self._on_failure(failure)


def _failure_of(error: Exception | None) -> GroupFailure:
    """Of rank 0 itself; None where its engine was closed while the group served."""
    cause = str(error) if error else "its engine was closed while the group served"
    return GroupFailure(kind_of(error), f"rank 0: {cause}", time.time())
