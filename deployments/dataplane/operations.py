"""What Stowage can do for a caller, in no protocol's words. Protocol modules call this and nothing below it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from deployments.dataplane.call import Call
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.clients import ModelClient, ModelClients
from deployments.routing.policy import RouterPolicy, choose_version
from deployments.routing.states import ModelState
from models.errors import EngineError, ModelNotFoundError, ModelUnavailableError, PermissionDeniedError
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    ModelCard,
    Tensor,
    VersionId,
)

Result = TypeVar("Result")

_READY_POLL_S = 0.2
_WATCH_PERIOD_S = 1.0
_STARTING_RETRY_S = 5.0
_FAILED_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class GenerationStream:
    """A generation under way: ``first`` is the chunk that was waited for, ``rest`` gives those after it.

    Iterate once; ``aclose`` cancels the work, also when nothing has been read yet.
    """

    version: VersionId
    rest: AsyncGenerator[GenerationChunk]
    first: GenerationChunk | None = None

    async def __aiter__(self) -> AsyncGenerator[GenerationChunk]:
        if self.first is not None:
            yield self.first
        async for chunk in self.rest:
            yield chunk

    async def aclose(self) -> None:
        await self.rest.aclose()


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: how long to wait for a model that is starting, and for one that was asleep."""

    ready_s: float = 10.0
    wake_s: float = 120.0


class DataPlane:
    """The operations of the router. ``model`` is ``name`` or ``name@version``.

    Raises ModelNotFoundError, ModelUnavailableError, WrongTaskError, InvalidRequestError (and its children),
    DeadlineExceededError and EngineError; nothing waits beyond the call's deadline.
    """

    def __init__(self, catalog: Catalog, clients: ModelClients, policy: RouterPolicy, patience: Patience) -> None:
        self._catalog = catalog
        self._clients = clients
        self._policy = policy
        self._patience = patience

    def set_policy(self, policy: RouterPolicy) -> None:
        """Requests that come from now on follow ``policy``."""
        self._policy = policy

    async def generate(self, model: str, request: GenerationRequest, call: Call) -> GenerationStream:
        """Start a generation. Returns when its first chunk is there, so that errors come before any output."""

        async def start(client: ModelClient, version: VersionId) -> GenerationStream:
            chunks = client.generate(request)
            try:
                first = await self._watched(version, _first(version, chunks))
            except BaseException:
                await chunks.aclose()
                raise
            return GenerationStream(version, chunks, first)

        return (await self._run(model, call, start))[1]

    async def embed(self, model: str, request: EmbeddingRequest, call: Call) -> tuple[VersionId, EmbeddingResult]:
        """Embed every input, in order."""
        return await self._run(model, call, lambda client, version: self._watched(version, client.embed(request)))

    async def infer(self, model: str, request: InferRequest, call: Call) -> tuple[VersionId, tuple[Tensor, ...]]:
        """Run the model on named tensors."""
        return await self._run(model, call, lambda client, version: self._watched(version, client.infer(request)))

    async def cards(self, call: Call) -> list[ModelCard]:
        """The cards of the ready versions that the caller may use, sorted by id."""
        return [state.card for state in await self.states(call) if state.ready and state.card is not None]

    async def card(self, model: str, call: Call) -> ModelCard:
        """The card of the version that ``model`` resolves to; ModelUnavailableError until it has been built."""
        state = await self.state(model, call)
        if state.card is None:
            raise _unavailable(state)
        return state.card

    async def states(self, call: Call) -> list[ModelState]:
        """Every deployed version that the caller may use, ready or not, sorted by id."""
        may_use = call.caller.may_use
        return [state for state in self._catalog.states if may_use((state.id.name, str(state.id)))]

    async def state(self, model: str, call: Call) -> ModelState:
        """The state of the version that ``model`` resolves to, ready or not."""
        state = await self._resolve(model)
        _check_allowed(model, state, call)
        return state

    async def _run(
        self,
        model: str,
        call: Call,
        operation: Callable[[ModelClient, VersionId], Awaitable[Result]],
    ) -> tuple[VersionId, Result]:
        async with call.limit():
            await self.state(model, call)
            state = await self._ready(model)
            client = await self._clients.client(state.id, state.pool)
            return state.id, await operation(client, state.id)

    async def _resolve(self, model: str) -> ModelState:
        """Look again once before saying that a model is not there: it may have been deployed just now."""
        try:
            return choose_version(model, self._policy, self._catalog.states)
        except ModelNotFoundError:
            await self._catalog.refresh()
            return choose_version(model, self._policy, self._catalog.states)

    async def _ready(self, model: str) -> ModelState:
        """Wait, with a bound, for a model that is starting; ModelUnavailableError with the reason otherwise."""
        state = await self._resolve(model)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience.ready_s
        while not state.ready:
            if state.status != "starting" or loop.time() >= give_up_at:
                raise _unavailable(state)
            await asyncio.sleep(_READY_POLL_S)
            await self._catalog.refresh()
            state = await self._resolve(model)
        return state

    async def _watched(self, version: VersionId, work: Awaitable[Result]) -> Result:
        """Await ``work``, but not for ever when the replica that should do it never comes (back)."""
        task = asyncio.ensure_future(work)
        not_ready_since: float | None = None
        loop = asyncio.get_running_loop()
        try:
            while not (await asyncio.wait({task}, timeout=_WATCH_PERIOD_S))[0]:
                state = await self._resolve(str(version))
                if state.status == "ready":
                    not_ready_since = None
                    continue
                not_ready_since = not_ready_since or loop.time()
                if state.status != "asleep" and self._lost(state, loop.time() - not_ready_since):
                    raise _unavailable(state)
            return task.result()
        finally:
            await _settle(task)

    def _lost(self, state: ModelState, waited_s: float) -> bool:
        return state.status in ("failed", "stopping", "waiting") or waited_s > self._patience.wake_s


async def _settle(task: asyncio.Future[Result]) -> None:
    """Cancel what is still running and wait until it has let go of the replica."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


async def _first(version: VersionId, chunks: AsyncGenerator[GenerationChunk]) -> GenerationChunk:
    async for chunk in chunks:
        return chunk
    raise EngineError(f"{version} ended a generation before it gave anything")


def _check_allowed(model: str, state: ModelState, call: Call) -> None:
    if not call.caller.may_use((model, state.id.name, str(state.id))):
        raise PermissionDeniedError(
            f"this API key is not for model {model!r}", remedy="GET /v1/models lists its own"
        )


def _unavailable(state: ModelState) -> ModelUnavailableError:
    verb, retry_after_s = ("has", _FAILED_RETRY_S) if state.status == "failed" else ("is", _STARTING_RETRY_S)
    return ModelUnavailableError(
        f"model {state.id} {verb} {state.status}: {state.reason or 'its replica is not up'}",
        retry_after_s=retry_after_s,
    )
