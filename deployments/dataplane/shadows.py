"""Copies of requests that go to another version too. Their answers are compared, written down and dropped."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from deployments.audit.record import Outcome
from deployments.dataplane.attempt import Asker, Errand
from deployments.dataplane.call import Call, Reason, Tally
from deployments.dataplane.door import Door, Ending, outcome_of
from deployments.dataplane.headers import PRIORITY_HEADER
from deployments.dataplane.observer import Observer
from deployments.dataplane.streams import GenerationStream
from deployments.dataplane.transcript import Transcript
from deployments.dataplane.work import Work
from deployments.identity.caller import Priority
from deployments.routing.states import ModelState

_BATCH = {PRIORITY_HEADER: Priority.BATCH.value}
_OK_STATUS = 200
_FAILED_STATUS = 500


class Shadows:
    """Runs copies in the background, behind all other requests, and never more than ``max_running`` of them.

    A copy beyond that is not made.
    """

    def __init__(self, asker: Asker, door: Door, observer: Observer, max_running: int) -> None:
        self._asker = asker
        self._door = door
        self._observer = observer
        self._max_running = max_running
        self._running: set[asyncio.Task[None]] = set()

    def start(self, original: Errand, state: ModelState, work: Work[object]) -> None:
        """Copy a request to the version; its answer waits for the original's, to be compared with it."""
        if len(self._running) >= self._max_running:
            self._observer.shadow_skipped(state.id)
            return
        task = asyncio.create_task(self._run(original, state, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, original: Errand, state: ModelState, work: Work[object]) -> None:
        call = _copy(original.call)
        call.tally.decisions.append((state.id, Reason.SHADOW))
        transcript = Transcript() if original.transcript is not None and work.deterministic else None
        errand = Errand(original.destination, call, transcript=transcript)
        outcome = Outcome.CANCELLED
        try:
            async with call.limit():
                await self._ask(errand, state, work)
            outcome = Outcome.OK
            await original.end.wait()
            call.tally.agrees = _agree(original.transcript, transcript)
        except Exception as error:  # noqa: BLE001  nobody waits for it: it is written down, whatever it is
            call.tally.error = error
            outcome = outcome_of(error, finished=False)
        finally:
            status = _OK_STATUS if outcome is Outcome.OK else _FAILED_STATUS
            self._door.leave(call, Ending(status, outcome, call.tally.error))

    async def _ask(self, errand: Errand, state: ModelState, work: Work[object]) -> None:
        async with AsyncExitStack() as held:
            spending = await self._asker.enter(held, errand, state, work)
            answer = await self._asker.ask(held, errand, state, work, spending)
            if isinstance(answer, GenerationStream):
                async with aclosing(answer):
                    async for _ in answer:
                        pass


def _copy(call: Call) -> Call:
    tally = Tally(
        protocol=call.tally.protocol,
        operation=call.tally.operation,
        asked=call.tally.asked,
        shadow_of=call.request_id,
    )
    return replace(
        Call.start(f"{call.request_id}-shadow", call.timeout_s, call.caller, {**call.attributes, **_BATCH}),
        tally=tally,
    )


def _agree(original: Transcript | None, copy: Transcript | None) -> bool | None:
    """None when one of the answers is not there as a whole."""
    if original is None or copy is None or not (original.complete and copy.complete):
        return None
    return original.agrees(copy)
