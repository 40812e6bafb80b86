"""Who watches the data plane, to count what it does. Nothing depends on what it hears."""

from __future__ import annotations

from typing import Protocol

from deployments.dataplane.call import Call
from deployments.dataplane.door import Ending
from models.types import VersionId


class Observer(Protocol):
    """Every method returns at once and never raises."""

    def left(self, call: Call, ending: Ending, now: float) -> None:
        """A call has ended, ``now`` on the event loop's clock: once for each, shadow copies too."""

    def stream_opened(self, version: VersionId) -> None:
        """A generation has given the first of its answer."""

    def stream_closed(self, version: VersionId) -> None:
        """It has ended, or nobody reads it any more. Once for each that was opened."""

    def token_gap(self, version: VersionId, seconds: float) -> None:
        """So long it took from one part of an answer to the next."""

    def woke(self, version: VersionId, seconds: float | None) -> None:
        """A version that was not up when it was asked for is, so long after that; None: it was given up."""

    def shadow_skipped(self, version: VersionId) -> None:
        """A copy was not made, because too many run already."""


class Unobserved:
    """Nobody watches."""

    def left(self, call: Call, ending: Ending, now: float) -> None:
        pass

    def stream_opened(self, version: VersionId) -> None:
        pass

    def stream_closed(self, version: VersionId) -> None:
        pass

    def token_gap(self, version: VersionId, seconds: float) -> None:
        pass

    def woke(self, version: VersionId, seconds: float | None) -> None:
        pass

    def shadow_skipped(self, version: VersionId) -> None:
        pass


UNOBSERVED = Unobserved()
