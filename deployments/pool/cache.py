"""Loads the models of a pool on request, several at a time, and closes those that make room. One event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from deployments.pool.ledger import ByteLedger
from models.errors import ModelUnavailableError, OverloadedError
from models.memory.plan import format_bytes
from models.types import VersionId

logger = logging.getLogger("ray.serve")

T = TypeVar("T")

_RETRY_S = 5.0
_FAILED_RETRY_S = 30.0


class Loader(Protocol[T]):
    """Brings models in and out; both block, and are called in worker threads."""

    def load(self, model: VersionId) -> T:
        """Any exception becomes the answer to the requests that wait."""

    def unload(self, value: T) -> None:
        """Give back everything that ``load`` took."""


class Watcher(Protocol):
    """Is told what happens to the models."""

    def hit(self, model: VersionId) -> None:
        """A request found its model resident."""

    def loaded(self, model: VersionId, seconds: float) -> None: ...

    def failed(self, model: VersionId) -> None:
        """A load ended in an error."""

    def evicted(self, model: VersionId) -> None: ...


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """``num_loads`` run at once; a request waits ``hold_s`` for its model; ``num_users`` requests of one model run
    or wait at once."""

    num_loads: int
    hold_s: float
    num_users: int


@dataclass(slots=True)
class _Pending:
    """A model that requests wait for. ``began_s`` once there is room for it and its load has begun."""

    ready: asyncio.Future[None] = field(default_factory=asyncio.Future)
    began_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    until_s: float
    reason: str


class ModelCache(Generic[T]):
    """Gives each request its loaded model. No request waits for the load of another model than its own.

    ``clock`` in seconds. A model that could not be loaded is not tried again for half a minute: each try may evict
    others.
    """

    def __init__(
        self,
        ledger: ByteLedger,
        loader: Loader[T],
        limits: CacheLimits,
        watcher: Watcher,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._loader = loader
        self._limits = limits
        self._watcher = watcher
        self._clock = clock
        self._values: dict[VersionId, T] = {}
        self._pending: dict[VersionId, _Pending] = {}
        self._failures: dict[VersionId, _Failure] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(limits.num_loads, thread_name_prefix="load")

    @property
    def loading(self) -> tuple[VersionId, ...]:
        """Models whose load has begun."""
        return tuple(model for model, pending in self._pending.items() if pending.began_s is not None)

    @property
    def can_close(self) -> bool:
        """Whether some model is idle."""
        return bool(self._ledger.idle)

    def is_loaded(self, model: VersionId) -> bool:
        return model in self._values

    @asynccontextmanager
    async def use(self, model: VersionId) -> AsyncGenerator[T]:
        """The loaded model, which stays until the block ends.

        OverloadedError when too many requests of it are here; ModelUnavailableError, with the reason, when it
        cannot be loaded or not in time.
        """
        if self._ledger.num_users(model) >= self._limits.num_users:
            raise OverloadedError(f"{self._limits.num_users} requests of model {model} are here", retry_after_s=1)
        self._ledger.claim(model)
        try:
            if model in self._values:
                self._watcher.hit(model)
            else:
                await self._wait_for(model)
            yield self._values[model]
        finally:
            self._ledger.release(model)
            self._start_loads()

    async def drop_broken(self, is_broken: Callable[[T], bool]) -> None:
        """Close the idle models that are broken; the next request loads them anew."""
        for model in [model for model, value in self._values.items() if is_broken(value)]:
            if self._ledger.evict(model):
                logger.warning("Model %s is broken and is closed; its next request loads it again.", model)
                await self._close(model)
        self._start_loads()

    async def close_idle(self, num_bytes: int) -> None:
        """Close models that nobody uses, the least recently used first, until ``num_bytes`` of plans are gone."""
        for model in self._ledger.idle:
            if num_bytes <= 0:
                break
            if self._ledger.evict(model):
                num_bytes -= self._ledger.size(model)
                await self._close(model)
        self._start_loads()

    async def _wait_for(self, model: VersionId) -> None:
        failure = self._failures.get(model)
        if failure is not None and (left_s := failure.until_s - self._clock()) > 0:
            raise ModelUnavailableError(failure.reason, retry_after_s=left_s)
        pending = self._pending.setdefault(model, _Pending())
        self._start_loads()
        done, _ = await asyncio.wait({pending.ready}, timeout=self._limits.hold_s)
        if not done:
            raise ModelUnavailableError(self._why_not(model, pending), retry_after_s=_RETRY_S)
        pending.ready.result()

    def _start_loads(self) -> None:
        """Begin what there is room for, the longest wait first; forget what nobody waits for any more."""
        for model, pending in list(self._pending.items()):
            if pending.began_s is not None:
                continue
            if not self._ledger.num_users(model):
                del self._pending[model]
            elif len(self.loading) < self._limits.num_loads:
                self._start_load(model, pending)

    def _start_load(self, model: VersionId, pending: _Pending) -> None:
        victims = self._ledger.admit(model)
        if victims is None:
            return
        pending.began_s = self._clock()
        closing = {victim: self._values.pop(victim) for victim in victims}
        task = asyncio.create_task(self._load(model, pending, closing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, model: VersionId, pending: _Pending, closing: dict[VersionId, T]) -> None:
        await asyncio.gather(*(self._unload(victim, value) for victim, value in closing.items()))
        self._ledger.settle(model, tuple(closing))
        closing.clear()
        began_s = self._clock()
        try:
            value = await asyncio.get_running_loop().run_in_executor(self._threads, self._loader.load, model)
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait get it as their answer
            pending.ready.set_exception(self._fail(model, error))
            pending.ready.exception()  # asyncio reports one that nobody has seen; those who waited may have gone
        else:
            self._enter(model, value, began_s)
            pending.ready.set_result(None)
        del self._pending[model]
        self._start_loads()

    def _enter(self, model: VersionId, value: T, began_s: float) -> None:
        self._values[model] = value
        self._ledger.enter(model)
        self._watcher.loaded(model, self._clock() - began_s)

    def _fail(self, model: VersionId, error: Exception) -> ModelUnavailableError:
        logger.error("Model %s cannot be loaded.", model, exc_info=error)
        self._ledger.free(model)
        self._watcher.failed(model)
        reason = f"model {model} cannot be loaded: {error}"
        self._failures[model] = _Failure(self._clock() + _FAILED_RETRY_S, reason)
        return ModelUnavailableError(reason, retry_after_s=_FAILED_RETRY_S)

    async def _close(self, model: VersionId) -> None:
        """Of one that was evicted."""
        await self._unload(model, self._values.pop(model))
        self._ledger.free(model)

    async def _unload(self, model: VersionId, value: T) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._loader.unload, value)
        except Exception:  # it is gone in any case, and another model waits for its place
            logger.exception("Model %s did not close cleanly.", model)
        self._watcher.evicted(model)

    def _why_not(self, model: VersionId, pending: _Pending) -> str:
        size = format_bytes(self._ledger.size(model))
        waited = f"model {model} is not there after {self._limits.hold_s:g} s: loading {size}"
        if pending.began_s is not None:
            return f"{waited} since {self._clock() - pending.began_s:.1f} s"
        if missing := self._ledger.missing_bytes(model):
            return f"{waited}, {format_bytes(missing)} to free, which models in use hold"
        return f"{waited}, behind {len(self.loading)} other loads"
