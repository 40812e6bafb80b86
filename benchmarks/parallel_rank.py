"""One process of a model under test: a rank of it, or all of it. ``python -m benchmarks.parallel_rank PIPE``.

Started by ``parallel_ranks``, which through the pipe of that number sends a ``Setup`` and then orders.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import sha256
from multiprocessing.connection import Connection
from statistics import mean
from threading import Thread

from benchmarks.parallel_orders import Answered, Look, Order, Setup, Spent, Window
from benchmarks.parallel_timing import Collectives, TimedPulse, look
from deployments.options import engine_settings
from deployments.planning import plan_model
from models.engines.base import GenerationEngine
from models.engines.group import Rank, make_follower
from models.engines.group_leader import make_leader
from models.engines.heap import keep_freed_blocks
from models.engines.transformers import TransformersEngine
from models.errors import StowageError
from models.memory.plan import MemoryPlan
from models.parallel.rendezvous import Meeting, Member, join_group
from models.progress import NoProgress
from models.store import StoredModel, open_store
from models.types import GenerationRequest, SamplingParams

HOST = "127.0.0.1"
_JOIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one request: how many tokens, after how long the first, and which."""

    num_tokens: int
    first_token_s: float
    text: str


async def answer(engine: GenerationEngine, window: Window, client: int, turn: int, vocab_size: int) -> Answer:
    """Ask greedily for one answer."""
    sampling = SamplingParams(temperature=0, max_tokens=window.max_tokens)
    name = f"{window.number}-{window.clients}-{client}-{turn}"
    request = GenerationRequest(name, window.prompt(client, turn, vocab_size), sampling)
    pieces, first_token_s, began = [], 0.0, time.perf_counter()
    async with aclosing(engine.generate(request)) as chunks:
        async for chunk in chunks:
            first_token_s = first_token_s or time.perf_counter() - began
            pieces.append(chunk.text)
    if chunk.usage is None:
        raise StowageError(f"the answer to {name} does not say how many tokens it has")
    return Answer(chunk.usage.completion_tokens, first_token_s, "".join(pieces))


async def load(engine: GenerationEngine, window: Window, vocab_size: int) -> Answered:
    """All clients of the window at once; from the first request to the end of the last answer."""

    async def ask(client: int) -> list[Answer]:
        return [await answer(engine, window, client, turn, vocab_size) for turn in range(window.num_turns)]

    began = time.perf_counter()
    found = await asyncio.gather(*map(ask, range(window.clients)))
    elapsed_s = time.perf_counter() - began
    answers = [each for one in found for each in one]
    return Answered(
        num_tokens=sum(each.num_tokens for each in answers),
        elapsed_s=elapsed_s,
        first_token_s=mean(each.first_token_s for each in answers),
        digests=tuple(sha256(each.text.encode()).hexdigest()[:12] for each in answers),
    )


class RankUnderTest:
    """Made when all ranks have loaded. Blocks until then."""

    def __init__(self, setup: Setup) -> None:
        self._stored = open_store(setup.args.store).get(setup.args.id)
        plan = plan_model(setup.args, self._stored.manifest, ())
        self._pulse, self._collectives = TimedPulse(), Collectives()
        self._engine: GenerationEngine | None = None
        self._following: Thread | None = None
        if setup.meeting is None:
            settings = replace(engine_settings(setup.args, plan), device=setup.device)
            self._engine = TransformersEngine(self._stored.folder, self._stored.manifest, settings)
        else:
            self._collectives.watch()
            self._join(_rank(setup, plan, self._stored), setup.meeting)

    def _join(self, rank: Rank, meeting: Meeting) -> None:
        member = Member(rank.number, rank.layout.num_ranks, HOST)
        join_group(meeting, member, "gloo", _JOIN_S, os.environ)
        if rank.number:
            follower = make_follower(rank, NoProgress(), self._pulse)
            self._following = Thread(target=follower.run)
            self._following.start()
            return
        leader = make_leader(rank, NoProgress(), self._pulse)
        if not isinstance(leader, GenerationEngine):
            raise StowageError(f"{self._stored.manifest.id} does not generate text")
        self._engine = leader

    def obey(self, order: Order) -> Answered | Spent:
        if isinstance(order, Look):
            return look(self._pulse, self._collectives)
        architecture = self._stored.manifest.architecture
        if self._engine is None or architecture is None:
            raise StowageError("only rank 0 of a language model can be asked")
        return asyncio.run(load(self._engine, order, architecture.vocab_size))

    def close(self) -> None:
        """Rank 0 tells the others, which wait for that."""
        if self._engine is not None:
            self._engine.close()
        if self._following is not None:
            self._following.join()


def _rank(setup: Setup, plan: MemoryPlan, stored: StoredModel) -> Rank:
    if plan.group is None:
        raise StowageError(f"{setup.args.id} has a meeting, but its plan no group")
    settings = replace(engine_settings(setup.args, plan, setup.rank), device=setup.device)
    return Rank(stored.folder, stored.manifest, settings, plan.group.layout, setup.rank)


def serve(orders: Connection) -> None:
    """Say when it is ready, with the process's number, and obey until the other end hangs up."""
    rank = RankUnderTest(orders.recv())
    keep_freed_blocks()  # as replicas do
    orders.send(os.getpid())
    try:
        while True:
            orders.send(rank.obey(orders.recv()))
    except EOFError:
        rank.close()


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as connection:
        serve(connection)
