"""One request at one version: let in by the limits, up, with a place, and asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from deployments.dataplane.arrivals import Arrivals, Arrived
from deployments.dataplane.call import Attempt, Call
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.clients import ModelClient, ModelClients
from deployments.dataplane.gate import Entrant, Gate
from deployments.dataplane.lifelines import Lifelines
from deployments.dataplane.observer import UNOBSERVED, Observer
from deployments.dataplane.quotas import Quotas, Spending
from deployments.dataplane.traffic import Traffic
from deployments.dataplane.transcript import Transcript
from deployments.dataplane.waking import Waking
from deployments.dataplane.work import Session, Work
from deployments.routing.states import ModelState
from deployments.routing.table import Destination
from models.errors import error_code
from models.types import VersionId

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Waits:
    """What a request may have to wait for: a replica to be up, a place at it, its answer. ``arrivals`` counts."""

    waking: Waking
    gate: Gate
    lifelines: Lifelines
    arrivals: Arrivals


@dataclass(frozen=True, slots=True)
class Errand:
    """A call on its way to one destination. ``transcript`` gets a copy of the answer, where one is wanted.

    ``rollout`` is the name whose rollout chooses the version, if one does. ``end`` is set when the last of the
    answer has come, or no more of it will.
    """

    destination: Destination
    call: Call
    rollout: str | None = None
    transcript: Transcript | None = None
    end: asyncio.Event = field(default_factory=asyncio.Event)


class Asker:
    """Takes a request to one version and back. One for each router replica."""

    def __init__(
        self,
        catalog: Catalog,
        clients: ModelClients,
        traffic: Traffic,
        quotas: Quotas,
        waits: Waits,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._catalog = catalog
        self._clients = clients
        self._traffic = traffic
        self._quotas = quotas
        self._waits = waits
        self._observer = observer

    async def enter(self, held: AsyncExitStack, errand: Errand, state: ModelState, work: Work[object]) -> Spending:
        """Wait for a replica and a place at it, which ``held`` gives back together with what was reserved.

        QuotaExceededError, ModelUnavailableError, OverloadedError, DeadlineExceededError; nothing was asked then.
        """
        call = errand.call
        arrived = self._waits.arrivals.come(state.id, work.at_most(state.card))
        held.callback(arrived.leave)
        state = await self._until_ready(state, call, arrived)
        most = work.at_most(state.card)
        async with call.limit():  # what is left of a limit may have to be asked for
            spending = await held.enter_async_context(self._quotas.reserve(call, state.id.name, most))
        held.callback(_learn, arrived, spending)
        place = self._waits.gate.enter(state.id, self._catalog.capacity(state), self._entrant(call))
        call.tally.queue_s += await held.enter_async_context(place)
        arrived.enter()
        return spending

    async def _until_ready(self, state: ModelState, call: Call, arrived: Arrived) -> ModelState:
        if state.status != "ready":
            arrived.wake()
        ready = await self._waits.waking.until_ready(state, call.deadline, call.tell)
        arrived.be_up()
        return ready

    async def ask(
        self, held: AsyncExitStack, errand: Errand, state: ModelState, work: Work[Result], spending: Spending
    ) -> Result:
        """The answer, or the first part of it; all of ModelClient's errors, and those of ``Lifelines.hold``."""
        call = errand.call
        held.callback(self._finish, errand, work, spending, _now())
        with _noted(errand, state.id), self._traffic.attempt(errand.destination, state.id):
            async with self._waits.lifelines.hold(state.id, call):
                client: ModelClient = await self._clients.client(state.id, state.pool)
                limit = call.limit if errand.destination.route.deadline_s is not None else None
                session = Session(state, client, spending, held, errand.transcript, limit, self._observer)
                result = await work.run(session)
        call.tally.note_answer(state.id, _now())
        return result

    @staticmethod
    def _finish(errand: Errand, work: Work[object], spending: Spending, began: float) -> None:
        tally = errand.call.tally
        tally.engine_s += _now() - began
        if not spending.answered:
            return  # it may be asked once more
        if errand.transcript is not None and errand.destination.route.log_text:
            tally.texts.append((work.prompt_text(), errand.transcript.text))
        errand.end.set()

    def _entrant(self, call: Call) -> Entrant:
        tenant = call.caller.tenant
        return Entrant(call.priority, tenant, self._traffic.weight_of(tenant), call.deadline, call.limit)


@contextmanager
def _noted(errand: Errand, version: VersionId) -> Iterator[None]:
    """Write the attempt down."""
    began = _now()
    outcome = "cancelled"
    try:
        yield
        outcome = "ok"
    except Exception as error:
        outcome = error_code(error)
        raise
    finally:
        errand.call.tally.attempts.append(Attempt(version, outcome, _now() - began, errand.rollout))


def _learn(arrived: Arrived, spending: Spending) -> None:
    arrived.learn(spending.input_tokens)


def _now() -> float:
    return asyncio.get_running_loop().time()
