"""Requests that make the demonstration models use all the memory that their plans allow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from models.errors import StowageError
from models.manifest import Manifest
from models.memory.plan import MemoryPlan
from models.types import Task

JsonBody = dict[str, object]
_NUM_NEW_TOKENS = 32
_NUM_BATCHES = 3
_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to one path, all sent at once."""

    path: str
    bodies: Sequence[JsonBody]

    def send(self, base_url: str) -> None:
        """Wait for all answers. StowageError for one that is not 200."""
        with ThreadPoolExecutor(len(self.bodies)) as pool:
            list(pool.map(lambda body: _post(base_url + self.path, body), self.bodies))


def smallest_load(model: str, task: Task) -> Load:
    """One short request, so that everything that is loaded late is loaded."""
    if task is Task.GENERATE:
        return Load("/v1/completions", [{"model": model, "prompt": "a b c", "max_tokens": 4, "temperature": 0}])
    return Load("/v1/embeddings", [{"model": model, "input": "a b c"}])


def full_load(manifest: Manifest, plan: MemoryPlan, max_batch_size: int) -> Load:
    """As many sequences as the plan has room for, each as long as it may be; or full batches of full inputs."""
    model = str(manifest.id)
    if manifest.task is Task.GENERATE:
        prompts = _random_prompts(manifest, plan)
        options = {"model": model, "max_tokens": _NUM_NEW_TOKENS, "temperature": 0}
        return Load("/v1/completions", [{**options, "prompt": prompt} for prompt in prompts])
    # Two tokens of each input mark its beginning and its end.
    text = "word " * (plan.max_model_len - 2)
    return Load("/v1/embeddings", [{"model": model, "input": [text] * max_batch_size}] * _NUM_BATCHES)


def _random_prompts(manifest: Manifest, plan: MemoryPlan) -> list[list[int]]:
    """Token ids with nothing in common, so that no page of the cache is shared."""
    if manifest.architecture is None:
        raise StowageError(f"{manifest.id} has no architecture, so its vocabulary is not known")
    draw = random.Random(0)  # noqa: S311 - the same prompts in each run
    length = plan.max_model_len - _NUM_NEW_TOKENS
    vocabulary = range(manifest.architecture.vocab_size)
    return [draw.choices(vocabulary, k=length) for _ in range(plan.max_num_seqs)]


def _post(url: str, body: JsonBody) -> None:
    reply = httpx.post(url, json=body, timeout=_TIMEOUT_S, trust_env=False)
    if reply.status_code != 200:
        raise StowageError(f"{url}: {reply.status_code} {reply.text}")
