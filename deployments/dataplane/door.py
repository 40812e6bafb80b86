"""Where every call comes in and goes out, over whatever protocol: by its key, and with what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from deployments.audit.record import Outcome
from deployments.dataplane.call import Call
from models.errors import (
    AuthenticationError,
    ConfigError,
    ConflictError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StoreError,
)

REFUSALS = (
    AuthenticationError,
    ConfigError,
    ConflictError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StoreError,
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call at the door. ``key`` is the API key as presented: nothing but the door ever sees it.

    ``protocol`` and ``operation`` are for the audit record; ``attributes`` as in Call.
    """

    request_id: str
    protocol: str
    operation: str
    timeout_s: float
    key: str | None = field(default=None, repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: the protocol's status, and the error if there was one."""

    status: int
    outcome: Outcome
    error: Exception | None = None
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the books cannot be kept as they should: ``since`` in seconds since the epoch."""

    since: float
    reason: str


@dataclass(frozen=True, slots=True)
class Condition:
    """How the books are. ``uncounted_bytes`` of the journal wait for the state database, ``num_unwritten`` records
    for the journal's disk; ``num_lost`` were given up since the start."""

    state: Trouble | None = None
    journal: Trouble | None = None
    uncounted_bytes: int = 0
    num_unwritten: int = 0
    num_lost: int = 0


class Door(Protocol):
    """Knows the keys and keeps the books."""

    def enter(self, arrival: Arrival) -> Call:
        """The call that may come in. AuthenticationError for a key that is needed and missing or wrong.

        StateUnavailableError while it is not known which keys there are.
        """

    def reject(self, arrival: Arrival, ending: Ending) -> None:
        """Write down a call that did not come in."""

    def leave(self, call: Call, ending: Ending) -> None:
        """Settle what the call used, and write it down. Once for each call that came in."""

    def condition(self) -> Condition:
        """What is wrong with the books now."""


class OpenDoor:
    """Lets everybody in and writes nothing down: for clusters without keys, and for tests."""

    def enter(self, arrival: Arrival) -> Call:
        return Call.start(arrival.request_id, arrival.timeout_s, attributes=arrival.attributes)

    def reject(self, arrival: Arrival, ending: Ending) -> None:
        """Nothing: everybody comes in."""

    def leave(self, call: Call, ending: Ending) -> None:
        """Nothing is kept."""

    def condition(self) -> Condition:
        return Condition()


def outcome_of(error: Exception | None, *, finished: bool) -> Outcome:
    """Whose doing the end of a call was. ``finished``: the whole answer was sent; otherwise its client gave up."""
    if error is not None:
        return Outcome.REFUSED if isinstance(error, REFUSALS) else Outcome.FAILED
    return Outcome.OK if finished else Outcome.CANCELLED
