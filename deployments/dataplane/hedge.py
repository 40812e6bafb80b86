"""A second request after a while without an answer to the first, for routes that pay for a shorter tail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from deployments.dataplane.streams import GenerationStream
from deployments.routing.states import ModelState

Result = TypeVar("Result")
Answer = tuple[ModelState, Result]


async def first_answer(
    first: Coroutine[None, None, Answer[Result]],
    once_more: Callable[[], Coroutine[None, None, Answer[Result]]],
    after_s: float,
) -> Answer[Result]:
    """The answer of ``first``, or after ``after_s`` seconds that of whichever answers sooner, it or another.

    The later one is cancelled. An error counts only when there is no other answer to wait for; it is the first's.
    """
    asked = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(asked, timeout=after_s)
        if not asked[0].done():
            asked.append(asyncio.ensure_future(once_more()))
            await _one_succeeds(asked)
        winner = next((task for task in asked if task.done() and not task.exception()), asked[0])
        asked.remove(winner)
        return winner.result()
    finally:
        await _let_go(asked)


async def _one_succeeds(asked: list[asyncio.Task[Answer[Result]]]) -> None:
    """Return when one has an answer, or all have failed."""
    running = set(asked)
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        if any(task.exception() is None for task in done):
            return


async def _let_go(tasks: list[asyncio.Task[Answer[Result]]]) -> None:
    """Cancel what runs, and close what has answered after all."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, BaseException) and isinstance(ended[1], GenerationStream):
            await ended[1].aclose()
