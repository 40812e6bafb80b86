"""One HTTP call: its id and the time it may still take."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from starlette.types import Scope

from models.errors import DeadlineExceededError

_SCOPE_KEY = "stowage.call"


@dataclass(frozen=True, slots=True)
class Call:
    """``timeout_s`` is what the call was given, ``deadline`` when that ends on the event loop's clock."""

    request_id: str
    timeout_s: float
    deadline: float

    @classmethod
    def start(cls, request_id: str, timeout_s: float) -> Call:
        """A call that begins now."""
        return cls(request_id, timeout_s, asyncio.get_running_loop().time() + timeout_s)

    def remaining_s(self) -> float:
        """Seconds until the deadline; DeadlineExceededError when it has passed."""
        remaining = self.deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            raise self._exceeded()
        return remaining

    def shortened(self, timeout_s: float) -> Call:
        """The same call with at most ``timeout_s`` left."""
        now = asyncio.get_running_loop().time()
        return (
            self
            if now + timeout_s >= self.deadline
            else replace(self, timeout_s=timeout_s, deadline=now + timeout_s)
        )

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Cancel the body at the deadline and raise DeadlineExceededError in its place."""
        try:
            async with asyncio.timeout_at(self.deadline) as scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise self._exceeded() from error

    def work_id(self, index: int = 0) -> str:
        """An id for one unit of the call's work; unique even when clients reuse request ids."""
        return f"{self.request_id}-{uuid.uuid4().hex}-{index}"

    def _exceeded(self) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"the request's time limit of {self.timeout_s:g} s passed",
            remedy="ask for less, or allow more seconds with the x-request-timeout header",
        )


def put_call(scope: Scope, call: Call) -> None:
    """Attach the call to its ASGI scope."""
    scope[_SCOPE_KEY] = call


def call_of(scope: Scope) -> Call:
    """The call that belongs to this ASGI scope."""
    call: Call = scope[_SCOPE_KEY]
    return call
