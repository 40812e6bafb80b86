"""A server that leaves its device while nobody asks anything of it, and takes it again for the next request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from models.errors import EngineError

_logger = logging.getLogger(__name__)

Order = Callable[[], Awaitable[None]]


class IdleSleep:
    """Gives the order ``sleep`` when no request was under way for ``after_s``, and ``wake`` before the next one.

    Orders raise EngineError when they fail. One that was given is waited for until its end, whatever becomes of
    the request that needs it: after half of one nobody knows whether the server sleeps. All but the constructor
    is called in one event loop.
    """

    def __init__(self, after_s: float, sleep: Order, wake: Order) -> None:
        self._after_s = after_s
        self._sleep = sleep
        self._wake = wake
        self._num_requests = 0
        self._asleep = False
        self._closed = False
        self._failure: EngineError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()  # of the order that is given
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        """The server is awake for the length of the block. EngineError when it cannot be woken."""
        self._num_requests += 1
        self._stop_timer()
        try:
            if self._asleep:
                await self._wait_until_awake()
            yield
        finally:
            self._num_requests -= 1
            self._rest()

    def check(self) -> None:
        """EngineError while the last order has failed. A server that nobody has ever asked begins to rest here."""
        if self._failure is not None:
            raise EngineError(f"the last order to sleep or to wake has failed: {self._failure}") from self._failure
        self._rest()

    def close(self) -> None:
        """Give no more orders, and wait for none; idempotent."""
        self._closed = True
        self._stop_timer()
        for task in self._tasks:
            task.cancel()

    def _rest(self) -> None:
        if self._num_requests or self._asleep or self._timer is not None or self._closed:
            return
        self._timer = asyncio.get_running_loop().call_later(self._after_s, self._end_rest)

    def _end_rest(self) -> None:
        self._timer = None
        self._start(self._fall_asleep())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, order: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(order)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _wait_until_awake(self) -> None:
        """When this is cancelled, the order goes on."""
        task = self._start(self._wake_up())
        await asyncio.wait([task])
        if task.cancelled():
            raise EngineError("the engine was closed while a request waited for it to wake")
        task.result()

    async def _fall_asleep(self) -> None:
        async with self._turn:
            if self._num_requests or self._asleep:
                return
            try:
                await self._give(self._sleep, asleep=True)
            except EngineError:  # kept for the health check
                _logger.exception("A server could not be put to sleep.")

    async def _wake_up(self) -> None:
        async with self._turn:
            if self._asleep:
                await self._give(self._wake, asleep=False)
        self._rest()

    async def _give(self, order: Order, *, asleep: bool) -> None:
        """One that fails leaves a server that has to be woken before anything else."""
        self._asleep = True
        try:
            await order()
        except EngineError as error:
            self._failure = error
            raise
        self._asleep, self._failure = asleep, None
