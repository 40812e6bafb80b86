"""Sending a request where its route leads: once more where that may help, elsewhere where it fails."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TypeVar

from deployments.dataplane.attempt import Asker, Errand
from deployments.dataplane.call import Call, Reason
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.hedge import first_answer
from deployments.dataplane.shadows import Shadows
from deployments.dataplane.traffic import Traffic
from deployments.dataplane.transcript import Transcript
from deployments.dataplane.work import Work
from deployments.identity.caller import Role
from deployments.routing.choice import Rights
from deployments.routing.failures import classify
from deployments.routing.states import ModelState
from deployments.routing.table import Destination
from models.errors import ModelNotFoundError, StowageError

Result = TypeVar("Result")


class Dispatcher:
    """Follows routes. One for each router replica."""

    def __init__(self, catalog: Catalog, traffic: Traffic, asker: Asker, shadows: Shadows) -> None:
        self._catalog = catalog
        self._traffic = traffic
        self._asker = asker
        self._shadows = shadows

    async def run(self, model: str, call: Call, work: Work[Result]) -> tuple[ModelState, Result]:
        """The answer, and the version that gave it. StowageError: that of the last thing that was tried."""
        call.tally.asked = call.tally.asked or model
        call.caller.require(Role.CALLER)
        destination, chain = self._traffic.chain(model)
        reason = Reason.ROUTE
        while True:
            try:
                return await self._serve(model, destination, call, work, reason)
            except StowageError as error:
                following = chain.next(classify(error))
                if following is None or call.is_over():
                    raise
                destination, reason = following, Reason.FALLBACK

    async def _serve(
        self, model: str, destination: Destination, call: Call, work: Work[Result], reason: Reason
    ) -> tuple[ModelState, Result]:
        """One destination, within its time limit, with its shadows, and hedged where its route says so."""
        if destination.route.deadline_s is not None:
            call = call.shortened(destination.route.deadline_s)
        state = await self._choose(model, destination, call)
        self._traffic.count_request(destination)
        errand = self._prepare(destination, call, state, work)
        by_rollout = errand.rollout is not None and reason is Reason.ROUTE
        call.tally.decisions.append((state.id, Reason.ROLLOUT if by_rollout else reason))
        try:
            return await self._answer(model, errand, state, work)
        except BaseException:
            errand.end.set()
            raise

    async def _answer(
        self, model: str, errand: Errand, state: ModelState, work: Work[Result]
    ) -> tuple[ModelState, Result]:
        destination, call = errand.destination, errand.call
        hedge = destination.route.hedge
        if hedge is None:
            return await self._persist(model, errand, state, work)

        async def once_more() -> tuple[ModelState, Result]:
            second = await self._choose(model, destination, call)
            call.tally.decisions.append((second.id, Reason.HEDGE))
            return await self._persist(model, errand, second, work)

        return await first_answer(self._persist(model, errand, state, work), once_more, hedge.after_ms / 1000)

    def _prepare(self, destination: Destination, call: Call, state: ModelState, work: Work[object]) -> Errand:
        shadows = self._traffic.shadows(destination, self._catalog.live, state.id)
        wanted = destination.route.log_text or (bool(shadows) and work.deterministic)
        rollout = self._traffic.rollout_of(destination, call)
        errand = Errand(destination, call, rollout, Transcript() if wanted else None)
        for shadow in shadows:
            self._shadows.start(errand, shadow, work)
        return errand

    async def _persist(
        self, model: str, errand: Errand, state: ModelState, work: Work[Result]
    ) -> tuple[ModelState, Result]:
        """With retries, as long as they are allowed and nothing has been answered."""
        attempts_made = 0
        while True:
            attempts_made += 1
            async with AsyncExitStack() as held:
                spending = await self._asker.enter(held, errand, state, work)
                try:
                    return state, await self._asker.ask(held, errand, state, work, spending)
                except StowageError as error:
                    delay_s = self._traffic.retry_delay_s(errand.destination, error, attempts_made)
                    if delay_s is None or delay_s >= errand.call.remaining_s():
                        raise
            await asyncio.sleep(delay_s)
            state = await self._choose(model, errand.destination, errand.call)
            errand.call.tally.decisions.append((state.id, Reason.RETRY))

    async def choose(self, model: str, call: Call) -> ModelState:
        """The version that a request for ``model`` would be sent to now, if it met with no failure."""
        call.tally.asked = call.tally.asked or model
        return await self._choose(model, self._traffic.chain(model)[0], call)

    async def _choose(self, model: str, destination: Destination, call: Call) -> ModelState:
        """Look again once before saying that a model is not there: it may have been deployed just now."""
        # A version that was chosen for several prompts is asked by its own name: the name that chose it counts.
        rights = Rights(call.caller, (call.tally.asked or model, model, destination.name))
        try:
            state = self._traffic.choose(destination, self._catalog.live, call, rights)
        except ModelNotFoundError:
            async with call.limit():
                await self._catalog.refresh()
            state = self._traffic.choose(destination, self._catalog.live, call, rights)
        rights.check(state.id)
        return state
