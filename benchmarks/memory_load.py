"""Requests that make the demonstration models use all the memory that their plans allow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil

import httpx

from models.errors import StowageError
from models.manifest import Manifest
from models.memory.plan import MemoryPlan
from models.types import Task

JsonBody = dict[str, object]
_NUM_NEW_TOKENS = 64
_NUM_REPEATED = 64
_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to one path, all sent at once. ``num_new_tokens``: what each must generate."""

    path: str
    bodies: Sequence[JsonBody]
    num_new_tokens: int = 0

    def send(self, base_url: str) -> None:
        """Wait for all answers. StowageError for one that is not 200, or that ends early."""
        with ThreadPoolExecutor(len(self.bodies)) as pool:
            lengths = list(pool.map(lambda body: _post(base_url + self.path, body), self.bodies))
        if min(lengths) < self.num_new_tokens:
            raise StowageError(f"answers of {lengths} tokens: the load is {self.num_new_tokens} tokens each")


def smallest_load(model: str, task: Task) -> Load:
    """One short request, so that everything that is loaded late is loaded."""
    if task is Task.GENERATE:
        return Load("/v1/completions", [{"model": model, "prompt": "a b c", "max_tokens": 4, "temperature": 0}])
    return Load("/v1/embeddings", [{"model": model, "input": "a b c"}])


def full_load(manifest: Manifest, plan: MemoryPlan, max_batch_size: int) -> Load:
    """As many sequences as the plan has room for, each as long as it may be; or full batches of full inputs.

    The batches hold every token of the vocabulary: rows of a mapped embedding table that nobody has asked for
    are not in memory, and a replica that is in use for long has met them all.
    """
    model = str(manifest.id)
    if manifest.task is Task.GENERATE:
        options = {"model": model, "max_tokens": _NUM_NEW_TOKENS, "temperature": 0}
        bodies = [{**options, "prompt": prompt} for prompt in _endless_prompts(manifest, plan)]
        return Load("/v1/completions", bodies, _NUM_NEW_TOKENS)
    tokens = cycle(range(_vocab_size(manifest)))
    num_batches = ceil(_vocab_size(manifest) / (max_batch_size * plan.max_model_len))
    batches = [
        [list(islice(tokens, plan.max_model_len)) for _ in range(max_batch_size)] for _ in range(num_batches)
    ]
    return Load("/v1/embeddings", [{"model": model, "input": batch} for batch in batches])


def _endless_prompts(manifest: Manifest, plan: MemoryPlan) -> list[list[int]]:
    """Token ids with nothing in common, so that no page of the cache is shared.

    Each repeats some random ones, which a model continues, so that no answer ends early: all sequences are at full
    length at once.
    """
    draw = random.Random(0)  # noqa: S311 - the same prompts in each run
    length = plan.max_model_len - _NUM_NEW_TOKENS
    vocabulary = range(_vocab_size(manifest))
    repeated = (draw.choices(vocabulary, k=_NUM_REPEATED) for _ in range(plan.max_num_seqs))
    return [list(islice(cycle(tokens), length)) for tokens in repeated]


def _vocab_size(manifest: Manifest) -> int:
    size = manifest.tokenizer.vocab_size if manifest.tokenizer else None
    if size is None:
        raise StowageError(f"{manifest.id} has no tokenizer, so its vocabulary is not known")
    return size


def _post(url: str, body: JsonBody) -> int:
    """How many tokens were generated."""
    reply = httpx.post(url, json=body, timeout=_TIMEOUT_S, trust_env=False)
    if reply.status_code != 200:
        raise StowageError(f"{url}: {reply.status_code} {reply.text}")
    return int(reply.json()["usage"].get("completion_tokens", 0))
