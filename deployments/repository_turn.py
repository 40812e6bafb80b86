"""One change of what Serve has deployed at a time, in all router replicas of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ray

_NAME, _NAMESPACE = "repository-turn", "stowage"
_POLL_S = 0.2


class _Turn:
    """Does nothing. Ray gives its name to one at a time, and takes it back with the process that made it."""


@asynccontextmanager
async def cluster_turn() -> AsyncIterator[None]:
    """Held by one at a time; the turn of a replica that dies ends with it. RayError."""
    held = await _wait()
    try:
        yield
    finally:
        await asyncio.to_thread(ray.kill, held)


async def _wait() -> Any:
    """What holds the turn. Each look is a short one, so that no thread waits."""
    while True:
        try:
            return await asyncio.to_thread(_take)
        except ValueError:  # another one has it
            await asyncio.sleep(_POLL_S)


def _take() -> Any:
    return ray.remote(num_cpus=0)(_Turn).options(name=_NAME, namespace=_NAMESPACE).remote()
