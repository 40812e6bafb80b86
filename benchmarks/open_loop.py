"""An open load: requests come when they come, however slow the answers are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=60)


@dataclass(frozen=True, slots=True)
class Source:
    """Callers that send ``rate`` requests per second between them, independently of each other."""

    name: str
    rate: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """One request, when it was due and how it ended; in seconds since the load began."""

    source: str
    due_s: float
    ended_s: float
    status: int

    @property
    def latency_s(self) -> float:
        """From the moment at which it was due: a client that is late makes nothing look faster."""
        return self.ended_s - self.due_s

    @property
    def is_ok(self) -> bool:
        return self.status == HTTPStatus.OK


def arrivals(sources: Sequence[Source], duration_s: float, rng: Random) -> list[tuple[float, Source]]:
    """When each request is due: a Poisson process for each source, merged in time."""
    return sorted(
        ((due_s, source) for source in sources for due_s in _poisson(source.rate, duration_s, rng)),
        key=lambda arrival: arrival[0],
    )


def _poisson(rate: float, duration_s: float, rng: Random) -> Iterator[float]:
    due_s = rng.expovariate(rate)
    while due_s < duration_s:
        yield due_s
        due_s += rng.expovariate(rate)


async def send(url: str, body: Mapping[str, object], due: Sequence[tuple[float, Source]]) -> list[Reply]:
    """Post ``body`` at each of the times; every reply, in the order of the requests."""
    # Not httpx: its pool looks through all connections for each request, which takes longer than a refusal.
    async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=0)) as http:
        began = time.perf_counter()
        tasks = []
        for due_s, source in due:
            await asyncio.sleep(began + due_s - time.perf_counter())
            tasks.append(asyncio.create_task(_send_one(http, url, body, source, (began, due_s))))
        return await asyncio.gather(*tasks)


async def _send_one(
    http: aiohttp.ClientSession, url: str, body: Mapping[str, object], source: Source, due: tuple[float, float]
) -> Reply:
    began, due_s = due
    async with http.post(url, json=body, headers=source.headers) as response:
        await response.read()
    return Reply(source.name, due_s, time.perf_counter() - began, response.status)
