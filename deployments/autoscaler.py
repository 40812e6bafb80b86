"""What scales all versions, in Serve's controller: policies ask it, and a thread of its own reads and writes.

Nothing here makes the controller's loop wait. It imports nothing large, since the controller has to.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from deployments.scaling.board import DemandBoard
from deployments.scaling.decision import Decision
from deployments.scaling.history import Change, Kept, dump_changes, dump_latest
from deployments.scaling.load import RouterLoad
from deployments.scaling.policy_arguments import PolicyArguments
from deployments.scaling.scaler import Scaler, Seen

logger = logging.getLogger("ray.serve")

# How often the thread reads what routers tell: by that a sleeping model is woken.
_PERIOD_S = 0.5
# How often a version is looked at; one that sleeps and is not asked for, more seldom.
_LOOK_S = 1.0
_ASLEEP_LOOK_S = 5.0
# How often the latest evaluation is written when it says something new, and when it does not.
_WRITE_S = 5.0
_REST_S = 30.0
# What nobody has asked about for so long is not there any more.
_FORGET_S = 3600.0


class Store(Protocol):
    """As ScalingStore has them. Whatever an error is, it is tried again."""

    def demands(self) -> dict[str, bytes]: ...
    def drop_demand(self, router: str) -> None: ...
    def read(self, application: str) -> tuple[bytes | None, bytes | None]: ...
    def put_latest(self, application: str, value: bytes) -> None: ...
    def put_changes(self, application: str, value: bytes) -> None: ...
    def applications(self) -> set[str]: ...
    def drop(self, application: str) -> None: ...


class Metrics(Protocol):
    """Hears what was decided."""

    def tell(self, decisions: Mapping[str, Decision]) -> None:
        """The last of each application, once in each period."""

    def count(self, application: str, cause: str) -> None:
        """The number of replicas has been changed."""


@dataclass(slots=True)
class _Application:
    """``scaler`` is None until what was kept of it has been read, or where its arguments cannot be.

    ``target`` is what was decided when Serve's was ``seen_target``; ``failure`` is why it could not be looked at.
    """

    arguments: Mapping[str, Any]
    asked_at: float
    is_read: bool = False
    scaler: Scaler | None = None
    due_at: float = 0.0
    target: int | None = None
    seen_target: int | None = None
    failure: str | None = None
    has_changed: bool = False
    written: object = None
    written_at: float | None = None


class Autoscaler:
    """One in a process. ``steady`` gives seconds and never goes back, ``unix`` those since the epoch."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        steady: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._steady = steady
        self._unix = unix
        self._board = DemandBoard()
        self._loads: Mapping[str, RouterLoad] = {}
        self._unasked = RouterLoad()
        self._heard_at = steady()
        self._applications: dict[str, _Application] = {}
        self._began = steady()
        self._is_swept = False
        self._trouble: str | None = None

    def start(self) -> None:
        """Read and write from now on."""
        threading.Thread(target=self._run, name="autoscaler", daemon=True).start()

    def target(self, application: str, arguments: Mapping[str, Any], current: int, see: Callable[[], Seen]) -> int:
        """How many replicas there should be, where ``current`` are to be; ``see`` is called when it is time to.

        As many as are to be, while it is not yet known what was decided before this process, and where it cannot
        be decided.
        """
        now = self._steady()
        entry = self._entry(application, arguments, now)
        if entry.scaler is None:
            return current
        if now >= entry.due_at or current != entry.seen_target:
            entry.due_at, entry.seen_target, entry.target = now + _LOOK_S, current, current
            self._look(application, entry, entry.scaler, see, now)
        return current if entry.target is None else entry.target

    def turn(self) -> None:
        """What the thread does in each period. Whatever the store raises."""
        now = self._steady()
        self._board.hear(self._store.demands(), now)
        self._unasked = self._board.load("", now)
        self._loads = {version: self._board.load(version, now) for version in self._board.versions()}
        self._heard_at = now
        for application, entry in list(self._applications.items()):
            self._tend(application, entry, now)
        self._metrics.tell(self._decisions())
        for router in self._board.gone(now):
            self._store.drop_demand(router)
        self._forget(now)

    def _entry(self, application: str, arguments: Mapping[str, Any], now: float) -> _Application:
        entry = self._applications.get(application)
        if entry is None:
            entry = self._applications[application] = _Application(arguments, now)
        elif entry.arguments is not arguments and entry.arguments != arguments:
            kept = entry.scaler.kept if entry.scaler else None
            entry.arguments, entry.due_at = arguments, 0.0
            if entry.is_read:
                self._make_scaler(application, entry, kept)
        entry.asked_at = now
        return entry

    def _make_scaler(self, application: str, entry: _Application, kept: Kept | None) -> None:
        try:
            entry.scaler = Scaler(PolicyArguments.load(entry.arguments), kept)
        except (KeyError, TypeError, ValueError) as error:
            self._fail(application, entry, f"its policy's arguments are not of this release: {error!r}")

    def _look(
        self, application: str, entry: _Application, scaler: Scaler, see: Callable[[], Seen], now: float
    ) -> None:
        routers = self._routers(application, now)
        try:
            decision, changes = scaler.decide(see(), routers, self._unix())
        except Exception as error:  # whatever it is, the replicas stay and the loop goes on
            logger.debug("%s cannot be looked at.", application, exc_info=True)
            self._fail(application, entry, repr(error))
            return
        if entry.failure is not None:
            logger.info("%s is scaled again.", application)
            entry.failure = None
        entry.target = decision.target
        if decision.target == 0 and not routers.num_waiting:
            entry.due_at = now + _ASLEEP_LOOK_S
        for change in changes:
            entry.has_changed = True
            self._metrics.count(application, change.cause)
            _log(application, change)

    def _fail(self, application: str, entry: _Application, failure: str) -> None:
        if entry.failure != failure:
            logger.error("%s keeps the replicas that it has: %s", application, failure)
        entry.failure = failure

    def _routers(self, application: str, now: float) -> RouterLoad:
        load = self._loads.get(application, self._unasked)
        return load if load.age_s is None else replace(load, age_s=load.age_s + now - self._heard_at)

    def _tend(self, application: str, entry: _Application, now: float) -> None:
        if not entry.is_read:
            latest, changes = self._store.read(application)
            kept = None if latest is None and changes is None else Kept.load(latest, changes)
            self._make_scaler(application, entry, kept)
            entry.is_read = True
        if entry.target == 0 and application in self._loads and self._loads[application].num_waiting:
            entry.due_at = 0.0
        if entry.scaler is not None:
            self._write(application, entry, entry.scaler, now)

    def _write(self, application: str, entry: _Application, scaler: Scaler, now: float) -> None:
        decision = scaler.decision
        says = (entry.failure, decision and (decision.target, decision.reason))
        is_new = entry.has_changed or entry.written_at is None
        waited_s = 0.0 if entry.written_at is None else now - entry.written_at
        if is_new or waited_s >= (_WRITE_S if says != entry.written else _REST_S):
            self._store.put_latest(application, dump_latest(scaler.latest(self._unix(), entry.failure)))
            entry.written, entry.written_at = says, now
        if entry.has_changed:
            entry.has_changed = False
            self._store.put_changes(application, dump_changes(scaler.kept))

    def _decisions(self) -> dict[str, Decision]:
        scalers = {name: entry.scaler for name, entry in list(self._applications.items())}
        return {name: each.decision for name, each in scalers.items() if each and each.decision}

    def _forget(self, now: float) -> None:
        """What is not there any more, also of before this process."""
        for application, entry in list(self._applications.items()):
            if now - entry.asked_at > _FORGET_S:
                del self._applications[application]
                self._store.drop(application)
        if not self._is_swept and now - self._began > _FORGET_S:
            for application in self._store.applications() - self._applications.keys():
                self._store.drop(application)
            self._is_swept = True

    def _run(self) -> None:
        while True:
            time.sleep(_PERIOD_S)
            try:
                self.turn()
            except Exception as error:  # whatever it is, the next turn may succeed
                if self._trouble is None:
                    logger.exception("Routers cannot be heard, nor records be written; the autoscaler tries on.")
                self._trouble = repr(error)
            else:
                self._trouble = None


def _log(application: str, change: Change) -> None:
    logger.info(
        "%s: %d -> %d replicas (%s): %s", application, change.before, change.after, change.cause, change.reason
    )
