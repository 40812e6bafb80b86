"""Requests to many models: whether each is answered right, and how long a warm model takes beside loads."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.pool_models import Answer, Case
from benchmarks.pool_samples import Answers, Latencies
from deployments.dataplane.clients import ModelClient
from models.errors import StowageError
from models.types import EmbeddingRequest, GenerationRequest

logger = logging.getLogger(__name__)

GetClient = Callable[[Case], ModelClient]


async def ask(client: ModelClient, case: Case, number: int) -> Answer:
    """One request. StowageError, or whatever else the other side raises."""
    if isinstance(case.request, EmbeddingRequest):
        vector: Answer = (await client.embed(case.request)).vectors[0]
        return vector
    request: GenerationRequest = replace(case.request, request_id=f"{case.version}-{number}")
    return "".join([chunk.text async for chunk in client.generate(request)])


async def ask_all(cases: Sequence[Case], get_client: GetClient, num_requests: int, num_clients: int) -> Answers:
    """Clients that take turns at requests for models chosen at random, a few of them often (Zipf's law)."""
    weights = 1 / np.arange(1, len(cases) + 1)
    chosen = np.random.default_rng(0).choice(len(cases), num_requests, p=weights / weights.sum())
    turns = iter(enumerate(chosen.tolist()))
    began = time.perf_counter()
    outcomes = await asyncio.gather(*(_take_turns(turns, cases, get_client) for _ in range(num_clients)))
    right, wrong, lost = (sum(column) for column in zip(*outcomes, strict=True))
    return Answers(right, wrong, lost, time.perf_counter() - began)


async def warm_latencies(warm: Case, cold: Sequence[Case], get_client: GetClient, duration_s: float) -> Latencies:
    """The warm model is asked one request after the other; beside it one cold model after the other, if any."""
    await ask(get_client(warm), warm, 0)
    asked: list[Case] = []
    loads = asyncio.create_task(_ask_in_turn(cold, get_client, asked))
    taken: list[float] = []
    give_up_at = time.perf_counter() + duration_s
    while (began := time.perf_counter()) < give_up_at:
        await ask(get_client(warm), warm, len(taken) + 1)
        taken.append(time.perf_counter() - began)
    loads.cancel()
    await asyncio.gather(loads, return_exceptions=True)
    return Latencies(float(np.quantile(taken, 0.5)), float(np.quantile(taken, 0.99)), len(taken), len(asked))


async def _ask_in_turn(cases: Sequence[Case], get_client: GetClient, asked: list[Case]) -> None:
    for case in itertools.cycle(cases):
        await ask(get_client(case), case, len(asked))
        asked.append(case)


async def _take_turns(
    turns: Iterator[tuple[int, int]], cases: Sequence[Case], get_client: GetClient
) -> tuple[int, int, int]:
    right = wrong = lost = 0
    for number, index in turns:
        case = cases[index]
        try:
            answer = await ask(get_client(case), case, number)
        except StowageError as error:
            logger.warning("Lost: %s", error)
            lost += 1
            continue
        right, wrong = (right + 1, wrong) if case.is_answered_by(answer) else (right, wrong + 1)
    return right, wrong, lost
