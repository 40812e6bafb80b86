"""Calls that wait for a replica are let go when their time is up, or when the replica will not answer any more."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deployments.dataplane.call import Call
from deployments.routing.choice import unavailable
from deployments.routing.live_versions import LiveVersions
from deployments.routing.states import ModelState
from models.errors import ModelNotFoundError, StowageError
from models.types import VersionId

# One that stops is not gone yet: it answers what is under way first.
_GONE = ("failed", "waiting")


@dataclass(eq=False, slots=True)
class _Line:
    scope: asyncio.Timeout
    cut: StowageError | None = None


class Lifelines:
    """One for each call that is under way. Two checks in a second are enough: no call pays for a watch of its own.

    ``patience_s``: how long the replica of a call may be on its way (back) before the call is let go.
    """

    def __init__(self, clock: Callable[[], float], patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._lines: defaultdict[VersionId, set[_Line]] = defaultdict(set)
        self._missing_since: dict[VersionId, float] = {}

    @asynccontextmanager
    async def hold(self, version: VersionId, call: Call) -> AsyncIterator[None]:
        """Cancel the body and raise DeadlineExceededError at the call's deadline.

        Also when it is cancelled from outside at that moment: the protocol's own limit ends then too, and a
        version that does not answer has to be known for it.

        The same with ModelUnavailableError or ModelNotFoundError, with the reason, when ``follow`` finds that the
        version cannot answer.
        """
        scope = asyncio.timeout_at(call.deadline)
        line = _Line(scope)
        lines = self._lines[version]
        try:
            async with scope:
                lines.add(line)
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise (line.cut or call.exceeded()) from error
        except asyncio.CancelledError as error:
            if call.is_over() or (scope.expired() and line.cut is None):
                raise call.exceeded() from error
            raise
        finally:
            lines.discard(line)

    def follow(self, live: LiveVersions) -> None:
        """Let go of the calls to versions that have failed, or were away for too long."""
        now = self._clock()
        for version, lines in list(self._lines.items()):
            cut = self._reason(version, live, now)
            for line in lines if cut else ():
                if not line.scope.expired():  # else its task is about to end
                    line.cut = cut
                    line.scope.reschedule(0)
            if not lines:
                del self._lines[version]
        for version in self._missing_since.keys() - self._lines.keys():
            del self._missing_since[version]

    def _reason(self, version: VersionId, live: LiveVersions, now: float) -> StowageError | None:
        state = live.get(version)
        if state is None:
            return ModelNotFoundError(f"model {str(version)!r} is not deployed any more")
        if state.status in ("ready", "asleep"):
            self._missing_since.pop(version, None)
            return None
        missing_s = now - self._missing_since.setdefault(version, now)
        return unavailable(state) if _is_lost(state) or missing_s > self._patience_s else None


def _is_lost(state: ModelState) -> bool:
    return state.status in _GONE
