"""Running generations: several at once, each owned by one task that closes it in every ending."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from models.errors import EngineError
from models.tools import ToolCallPiece
from models.types import GenerationChunk, GenerationRequest, Grammar, Prompt, SamplingParams, Usage, VersionId


@dataclass(frozen=True, slots=True)
class Piece:
    """The next part of the generation with this index."""

    index: int
    version: VersionId
    chunk: GenerationChunk


@dataclass(frozen=True, slots=True)
class Generated:
    """A whole generation; ``last`` is its last chunk, which has the finish reason and the usage.

    ``tool_calls`` has one piece for each call, with all its arguments.
    """

    version: VersionId
    text: str
    last: GenerationChunk
    tool_calls: tuple[ToolCallPiece, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Prompts to continue in the same way, by one version of one model."""

    model: str
    prompts: tuple[Prompt, ...]
    sampling: SamplingParams
    grammar: Grammar | None = None


def usage_of(last: GenerationChunk) -> Usage:
    """The token counts of a whole generation, by its last chunk; EngineError for a chunk that is no last one."""
    if last.usage is None:
        raise EngineError("a generation ended without its token counts")
    return last.usage


_Item = Piece | asyncio.Task[None]


class Pieces(AsyncIterator[list[Piece]]):
    """The pieces of several generations as they come; those that are ready together come together.

    ``inbox`` gets every piece, and the task of each generation when it ends. The error of a generation is raised
    after all pieces that came before it.
    """

    def __init__(self, inbox: asyncio.Queue[_Item], num_running: int) -> None:
        self._inbox = inbox
        self._num_running = num_running
        self._ready: deque[_Item] = deque()

    async def wait_for_first_of_each(self) -> None:
        """Return when every generation has a piece; raise the error of one that fails before that."""
        waiting = set(range(self._num_running))
        while waiting:
            item = await self._inbox.get()
            self._ready.append(item)
            if isinstance(item, Piece):
                waiting.discard(item.index)
            else:
                item.result()

    async def __anext__(self) -> list[Piece]:
        while self._num_running:
            await self._fill()
            item = self._ready.popleft()
            if isinstance(item, Piece):
                return [item, *self._pieces_at_head()]
            item.result()
            self._num_running -= 1
        raise StopAsyncIteration

    async def _fill(self) -> None:
        if not self._ready:
            self._ready.append(await self._inbox.get())
        while not self._inbox.empty():
            self._ready.append(self._inbox.get_nowait())

    def _pieces_at_head(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._ready and isinstance(piece := self._ready[0], Piece):
            pieces.append(piece)
            self._ready.popleft()
        return pieces


@asynccontextmanager
async def running(dataplane: DataPlane, order: Order, call: Call) -> AsyncIterator[Pieces]:
    """Start all generations of an order; leaving the context cancels those that still run.

    Enters when each has its first piece, so that errors of starting come before any output.
    """
    inbox: asyncio.Queue[_Item] = asyncio.Queue()
    model = await _one_version(dataplane, order, call)
    tasks = [
        asyncio.create_task(_pump(dataplane, model, request, call, index, inbox))
        for index, request in enumerate(_requests(order, call))
    ]
    for task in tasks:
        task.add_done_callback(inbox.put_nowait)
    try:
        pieces = Pieces(inbox, len(tasks))
        await pieces.wait_for_first_of_each()
        yield pieces
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def collect(dataplane: DataPlane, order: Order, call: Call) -> list[Generated]:
    """Run an order to its end: one text for each prompt, in order."""
    chunks: list[list[Piece]] = [[] for _ in order.prompts]
    async with call.limit(), running(dataplane, order, call) as batches:
        async for pieces in batches:
            for piece in pieces:
                chunks[piece.index].append(piece)
    return [_join(pieces) for pieces in chunks]


async def _one_version(dataplane: DataPlane, order: Order, call: Call) -> str:
    """Several prompts of one request go to one version, whatever the traffic policy would do with each."""
    if len(order.prompts) == 1:
        return order.model
    return str((await dataplane.choose(order.model, call)).id)


def _requests(order: Order, call: Call) -> list[GenerationRequest]:
    return [
        GenerationRequest(call.work_id(index), prompt, order.sampling, order.grammar)
        for index, prompt in enumerate(order.prompts)
    ]


async def _pump(
    dataplane: DataPlane,
    model: str,
    request: GenerationRequest,
    call: Call,
    index: int,
    inbox: asyncio.Queue[_Item],
) -> None:
    """Opens, reads and closes one stream in one task, so that no cancellation can fall between."""
    stream = await dataplane.generate(model, request, call)
    finished = False
    async with aclosing(stream):
        async for chunk in stream:
            inbox.put_nowait(Piece(index, stream.version, chunk))
            finished = chunk.finish_reason is not None and chunk.usage is not None
    if not finished:
        raise EngineError(f"{stream.version} ended a generation without its finish reason and token counts")


def _join(pieces: list[Piece]) -> Generated:
    text = "".join(piece.chunk.text for piece in pieces)
    return Generated(pieces[-1].version, text, pieces[-1].chunk, _whole_calls(pieces))


def _whole_calls(pieces: list[Piece]) -> tuple[ToolCallPiece, ...]:
    calls: dict[int, ToolCallPiece] = {}
    for part in (part for piece in pieces for part in piece.chunk.tool_calls):
        begun = calls.get(part.index)
        calls[part.index] = part if begun is None else replace(begun, arguments=begun.arguments + part.arguments)
    return tuple(calls.values())
