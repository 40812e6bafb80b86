"""One call of a client, in no protocol's words: who makes it, the time it may take, and what became of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import TracebackType

from deployments.dataplane.headers import PRIORITY_HEADER
from deployments.identity.caller import ANONYMOUS, Caller, Priority
from deployments.limits.allowance import Reservation
from deployments.limits.limit_set import Counter
from models.errors import DeadlineExceededError
from models.types import VersionId


def _ignore(_: object) -> None:
    """Of a client that cannot be told anything before its answer."""


class Reason(StrEnum):
    """Why a version was chosen: the name led there, or a rollout's share of it did, the one before had failed or
    took too long, or it gets a copy."""

    ROUTE = "route"
    ROLLOUT = "rollout"
    FALLBACK = "fallback"
    RETRY = "retry"
    HEDGE = "hedge"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one version: its end (``ok``, ``cancelled`` or the error's code), and its seconds.

    ``rollout`` is the name whose rollout chose the version; None where the caller or the policy did.
    """

    target: VersionId
    outcome: str
    seconds: float
    rollout: str | None = None


@dataclass(slots=True)
class Tally:
    """What became of a call, noted while it runs; the audit record is made from it. Times are in seconds.

    ``asked`` is the name in the request, ``version`` the one that answered, ``first_output_at`` a time of the
    event loop's clock. ``decisions`` are the versions that were chosen, whether they were asked or not. The
    tokens are those that replicas have counted so far, also of a stream that is cut off. ``num_under_way``
    requests to models hold reservations now, and one ``slot`` together; ``charges`` are the counters that those
    which were answered are charged to, ``is_charged`` once there was one. ``rate_limits`` are headers for the
    response. ``texts`` are prompts and answers, of routes that log them. ``shadow_of`` is the request that this
    one copies, ``agrees`` whether the answers were the same.
    """

    protocol: str = ""
    operation: str = ""
    asked: str | None = None
    version: VersionId | None = None
    decisions: list[tuple[VersionId, Reason]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    queue_s: float = 0.0
    engine_s: float = 0.0
    first_output_at: float | None = None
    num_under_way: int = 0
    slot: Reservation | None = None
    is_charged: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    charges: set[Counter] = field(default_factory=set)
    error: Exception | None = None
    rate_limits: Mapping[str, str] = field(default_factory=dict)
    texts: list[tuple[str, str]] = field(default_factory=list)
    shadow_of: str | None = None
    agrees: bool | None = None

    def note_answer(self, version: VersionId, now: float) -> None:
        """A replica has begun to answer."""
        self.version = version
        if self.first_output_at is None:
            self.first_output_at = now


@dataclass(frozen=True, slots=True)
class Call:
    """``timeout_s`` is what the call was given, ``deadline`` when that ends on the event loop's clock.

    ``attributes`` are what a route may look at: headers or metadata, their names in lower case. ``user`` is the
    end user whom the request's body names. ``tell`` is told, while the call waits, what for.
    """

    request_id: str
    timeout_s: float
    deadline: float
    started: float
    caller: Caller = ANONYMOUS
    attributes: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    tally: Tally = field(default_factory=Tally, compare=False)
    tell: Callable[[object], None] = _ignore

    @classmethod
    def start(
        cls,
        request_id: str,
        timeout_s: float,
        caller: Caller = ANONYMOUS,
        attributes: Mapping[str, str] | None = None,
    ) -> Call:
        """A call that begins now."""
        now = asyncio.get_running_loop().time()
        return cls(request_id, timeout_s, now + timeout_s, now, caller, attributes or {})

    @property
    def priority(self) -> Priority:
        """A key for batch work stays behind; of the others each request may say that it can wait."""
        wants_batch = self.attributes.get(PRIORITY_HEADER) == Priority.BATCH
        return Priority.BATCH if wants_batch else self.caller.priority

    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return asyncio.get_running_loop().time() >= self.deadline

    def telling(self, tell: Callable[[object], None]) -> Call:
        """The same call, whose client hears by ``tell`` what it waits for."""
        return replace(self, tell=tell)

    def with_timeout(self, timeout_s: float) -> Call:
        """The same call with ``timeout_s`` from its start on."""
        return replace(self, timeout_s=timeout_s, deadline=self.started + timeout_s)

    def remaining_s(self) -> float:
        """Seconds until the deadline; DeadlineExceededError when it has passed."""
        remaining = self.deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            raise self.exceeded()
        return remaining

    def shortened(self, timeout_s: float) -> Call:
        """The same call with at most ``timeout_s`` left."""
        now = asyncio.get_running_loop().time()
        return (
            self
            if now + timeout_s >= self.deadline
            else replace(self, timeout_s=timeout_s, deadline=now + timeout_s)
        )

    def for_user(self, user: str | None) -> Call:
        """The same call, on behalf of an end user."""
        return self if user is None else replace(self, user=user)

    def limit(self) -> AbstractAsyncContextManager[None]:
        """Cancel the body at the deadline and raise DeadlineExceededError in its place."""
        return _Limit(self)

    def work_id(self, index: int = 0) -> str:
        """An id for one unit of the call's work; unique even when clients reuse request ids."""
        return f"{self.request_id}-{uuid.uuid4().hex}-{index}"

    def exceeded(self) -> DeadlineExceededError:
        """The error of a call whose time is up."""
        return DeadlineExceededError(
            f"the request's time limit of {self.timeout_s:g} s passed",
            remedy="ask for less, or allow more seconds with x-request-timeout",
        )


class _Limit(AbstractAsyncContextManager[None]):
    """A class, because a generator takes twice as long and every call enters several."""

    __slots__ = ("_call", "_scope")

    def __init__(self, call: Call) -> None:
        self._call = call

    async def __aenter__(self) -> None:
        self._scope = asyncio.timeout_at(self._call.deadline)
        await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as timeout:  # the scope's own: the body's goes through it
            raise self._call.exceeded() from timeout
