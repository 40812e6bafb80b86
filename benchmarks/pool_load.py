"""Requests to many models: whether each is answered right, and how long a warm model takes beside loads."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from benchmarks.pool_models import Answer, Case
from benchmarks.pool_samples import Answers, Span
from deployments.dataplane.clients import ModelClient
from models.errors import InvalidRequestError, StowageError
from models.types import EmbeddingRequest, GenerationRequest

logger = logging.getLogger(__name__)

GetClient = Callable[[Case], ModelClient]
Request = EmbeddingRequest | GenerationRequest


async def ask(client: ModelClient, request: Request, request_id: str) -> Answer:
    """One request. StowageError, or whatever else the other side raises."""
    if isinstance(request, EmbeddingRequest):
        vector: Answer = (await client.embed(request)).vectors[0]
        return vector
    chunks = client.generate(replace(request, request_id=request_id))
    return "".join([chunk.text async for chunk in chunks])


async def ask_all(cases: Sequence[Case], get_client: GetClient, num_requests: int, num_clients: int) -> Answers:
    """Clients that take turns at requests for models chosen at random, a few of them often (Zipf's law)."""
    weights = 1 / np.arange(1, len(cases) + 1)
    chosen = np.random.default_rng(0).choice(len(cases), num_requests, p=weights / weights.sum())
    turns = iter(enumerate(chosen.tolist()))
    began = time.perf_counter()
    outcomes = await asyncio.gather(*(_take_turns(turns, cases, get_client) for _ in range(num_clients)))
    right, wrong, lost = (sum(column) for column in zip(*outcomes, strict=True))
    return Answers(right, wrong, lost, time.perf_counter() - began)


async def ask_for(client: ModelClient, case: Case, duration_s: float) -> list[Span]:
    """One model, one request after the other, for as long as told."""
    spans: list[Span] = []
    give_up_at = time.monotonic() + duration_s
    while (began := time.monotonic()) < give_up_at:
        await ask(client, case.request, f"{case.version}-{len(spans)}")
        spans.append(Span(began, time.monotonic()))
    return spans


class Stream:
    """Requests for one model after the other, with a pause after each answer; in a process of its own, by Ray."""

    def __init__(self, connect: Callable[[], GetClient], pause_s: float) -> None:
        freeze()
        self._pause_s = pause_s
        self._get_client = connect()
        self._spans: list[Span] = []
        self._asking: asyncio.Task[None] | None = None

    async def start(self, asked: Sequence[tuple[Case, Request]]) -> None:
        """Ask on until ``stop``."""
        self._spans = []
        self._asking = asyncio.create_task(self._ask_in_turn(asked))

    async def stop(self) -> list[Span]:
        """The requests that were answered or refused."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        return self._spans

    async def _ask_in_turn(self, asked: Sequence[tuple[Case, Request]]) -> None:
        for number, (case, request) in enumerate(itertools.cycle(asked)):
            began = time.monotonic()
            with suppress(InvalidRequestError):
                await ask(self._get_client(case), request, f"{case.version}-beside-{number}")
            self._spans.append(Span(began, time.monotonic()))
            await asyncio.sleep(self._pause_s)


def freeze() -> None:
    """Leave what is imported out of garbage collection, which would hold up this process for 0.3 s."""
    gc.collect()
    gc.freeze()


async def _take_turns(
    turns: Iterator[tuple[int, int]], cases: Sequence[Case], get_client: GetClient
) -> tuple[int, int, int]:
    right = wrong = lost = 0
    for number, index in turns:
        case = cases[index]
        try:
            answer = await ask(get_client(case), case.request, f"{case.version}-{number}")
        except StowageError as error:
            logger.warning("Lost: %s", error)
            lost += 1
            continue
        right, wrong = (right + 1, wrong) if case.is_answered_by(answer) else (right, wrong + 1)
    return right, wrong, lost
