"""What Stowage can do for a caller, in no protocol's words. Protocol modules call this and nothing below it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.dataplane.attempt import Waits
from deployments.dataplane.call import Call
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.dispatch import Dispatcher
from deployments.dataplane.gate import LaneView
from deployments.dataplane.streams import GenerationStream
from deployments.dataplane.traffic import Traffic
from deployments.dataplane.work import Embedding, Generation, Inference
from deployments.routing.choice import Rights, unavailable
from deployments.routing.states import ModelState
from models.errors import ModelNotFoundError
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationRequest,
    InferRequest,
    ModelCard,
    Tensor,
    VersionId,
)


@dataclass(frozen=True, slots=True)
class Queue:
    """In front of one version: the lane to it, and how many requests are held until it is up."""

    lane: LaneView
    num_held: int


class DataPlane:
    """The operations of the router. ``model`` is a route, an alias, a model or ``name@version``.

    Raises ModelNotFoundError, ModelUnavailableError, PermissionDeniedError, QuotaExceededError, WrongTaskError,
    InvalidRequestError (and its children), DeadlineExceededError and EngineError; nothing waits beyond the call's
    deadline.
    """

    def __init__(self, catalog: Catalog, traffic: Traffic, dispatcher: Dispatcher, waits: Waits) -> None:
        self._catalog = catalog
        self._traffic = traffic
        self._dispatcher = dispatcher
        self._waits = waits

    async def generate(self, model: str, request: GenerationRequest, call: Call) -> GenerationStream:
        """Start a generation. Returns when its first chunk is there, so that errors come before any output."""
        call.tally.operation = "generate"
        return (await self._dispatcher.run(model, call, Generation(request)))[1]

    async def embed(self, model: str, request: EmbeddingRequest, call: Call) -> tuple[VersionId, EmbeddingResult]:
        """Embed every input, in order."""
        call.tally.operation = "embed"
        state, result = await self._dispatcher.run(model, call, Embedding(request))
        return state.id, result

    async def infer(self, model: str, request: InferRequest, call: Call) -> tuple[VersionId, tuple[Tensor, ...]]:
        """Run the model on named tensors."""
        call.tally.operation = "infer"
        state, tensors = await self._dispatcher.run(model, call, Inference(request))
        return state.id, tensors

    async def cards(self, call: Call) -> list[ModelCard]:
        """The cards of the ready versions that the caller may use, sorted by id."""
        return [state.card for state in await self.states(call) if state.ready and state.card is not None]

    async def choose(self, model: str, call: Call) -> ModelState:
        """The version for a call that asks one version several things, which then are asked of it by its id."""
        return await self._dispatcher.choose(model, call)

    async def card(self, model: str, call: Call) -> ModelCard:
        """The card of the version that speaks for ``model``; ModelUnavailableError until it has been built."""
        state = await self.state(model, call)
        if state.card is None:
            raise unavailable(state)
        return state.card

    async def states(self, call: Call) -> list[ModelState]:
        """Every deployed version that the caller may use, ready or not, sorted by id."""
        may_use = call.caller.may_use
        return [state for state in self._catalog.states if may_use((state.id.name, str(state.id)))]

    def queues(self) -> dict[VersionId, Queue]:
        """Who is under way to each deployed version, and who waits."""
        places, lanes, held = self._catalog.capacities(), self._waits.gate.lanes, self._waits.waking.num_waiting
        return {
            version: Queue(lanes.get(version, LaneView(num_places)), held.get(version, 0))
            for version, num_places in places.items()
        }

    async def all_ready(self) -> bool:
        """Whether every deployed version is ready."""
        return all(state.ready for state in self._catalog.states)

    async def state(self, model: str, call: Call) -> ModelState:
        """The state of the version that speaks for ``model``, ready or not."""
        rights = Rights(call.caller, (model,))
        try:
            state = self._traffic.look_up(model, self._catalog.live, rights)
        except ModelNotFoundError:  # it may have been deployed just now
            async with call.limit():
                await self._catalog.refresh()
            state = self._traffic.look_up(model, self._catalog.live, rights)
        rights.check(state.id)
        return state
