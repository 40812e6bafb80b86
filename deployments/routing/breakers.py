"""The breakers of all versions, and what the end of a call means to them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deployments.routing.breaker import Breaker, BreakerSettings, BreakerState
from deployments.routing.failures import Failure, classify
from deployments.routing.live_versions import LiveVersions
from models.errors import ModelUnavailableError, StowageError
from models.types import VersionId

logger = logging.getLogger("ray.serve")

_STRICTNESS = (BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN)


class Breakers:
    """One breaker for each version and settings: routes with the same ones learn from each other's calls.

    ``clock`` gives seconds and never goes back. Settings of None: no breaker. ``openings`` counts how often those
    of each version have opened.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._breakers: dict[tuple[VersionId, BreakerSettings], Breaker] = {}
        self.openings: Counter[VersionId] = Counter()

    def blocked_s(self, version: VersionId, settings: BreakerSettings | None) -> float:
        """For how many seconds the version is left alone; 0: it may be called."""
        breaker = self._breakers.get((version, settings)) if settings else None
        return breaker.blocked_s(self._clock()) if breaker else 0.0

    def states(self) -> dict[VersionId, BreakerState]:
        """Of the versions that were called: of several breakers the state that lets least through."""
        found: dict[VersionId, BreakerState] = {}
        for (version, _), breaker in self._breakers.items():
            state = breaker.state(self._clock())
            found[version] = max(found.get(version, state), state, key=_STRICTNESS.index)
        return found

    @contextmanager
    def attempt(self, version: VersionId, settings: BreakerSettings | None) -> Iterator[None]:
        """Make a call within this, up to the first token of its answer; what it raises goes through.

        ModelUnavailableError, and no call, when the breaker admits none. A time limit of the call must become
        a DeadlineExceededError inside: a cancellation is taken for the caller's.
        """
        if settings is None:
            yield
            return
        breaker = self._breaker(version, settings)
        began_s = self._clock()
        era = breaker.begin(began_s)
        if era is None:
            raise held_back(version, breaker.blocked_s(began_s))
        succeeded = None
        try:
            yield
            succeeded = True
        except BaseException as error:
            succeeded = _verdict(error, self._clock() - began_s >= settings.slow_s)
            raise
        finally:
            ended_s = self._clock()
            before = breaker.state(ended_s)
            breaker.end(era, ended_s, succeeded=succeeded)
            self._note_change(version, before, breaker.state(ended_s))

    def follow(self, live: LiveVersions) -> None:
        """Forget the versions that are gone."""
        gone = [key for key in self._breakers if live.get(key[0]) is None]
        for key in gone:
            del self._breakers[key]

    def _note_change(self, version: VersionId, before: BreakerState, now: BreakerState) -> None:
        """Count and tell what the end of one call has changed."""
        if now is before:
            return
        if now is BreakerState.OPEN:
            self.openings[version] += 1
            if before is BreakerState.CLOSED:
                logger.warning("%s fails too often: its breaker is open.", version)
        elif now is BreakerState.CLOSED:
            logger.info("%s answers again: its breaker is closed.", version)

    def _breaker(self, version: VersionId, settings: BreakerSettings) -> Breaker:
        known = self._breakers.get((version, settings))
        if known is None:
            known = self._breakers[version, settings] = Breaker(settings)
        return known


def held_back(version: VersionId, blocked_s: float) -> ModelUnavailableError:
    """The error of a version whose breaker admits no call for that many seconds."""
    return ModelUnavailableError(
        f"model {version} failed too often and is left alone for {blocked_s:.1f} s", retry_after_s=blocked_s
    )


def _verdict(error: BaseException, was_slow: bool) -> bool | None:
    """Whether the version answered; None: the error says nothing of it.

    A full queue is no defect, and a deadline is one only when the version had time: a caller who gives it none
    must not cut off the others. A refused request was answered.
    """
    failure = classify(error)
    if failure is Failure.UNAVAILABLE or (failure is Failure.DEADLINE and was_slow):
        return False
    answered = isinstance(error, StowageError) and failure in (None, Failure.CONTEXT_TOO_LONG)
    return True if answered else None
