"""Windows of streamed chats, the same for every server: how fast tokens come, and at what cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice, product
from statistics import mean

from benchmarks.chat_client import ChatClient
from benchmarks.server import Server
from benchmarks.tables import Metrics

# Each asks for more than it gets, so that every answer has the same length.
TOPICS = (
    "the history of the steam engine",
    "how bread is made",
    "the planets of the solar system",
    "why the sea is salty",
    "the rules of chess",
    "how a bicycle stays upright",
    "the life of a bee",
    "how mountains are formed",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One target answering ``clients`` chats at once. ``digests`` tell whether two targets said the same."""

    round: int
    target: str
    clients: int
    prompt_tokens: int
    completion_tokens: int
    tokens_per_s: float
    first_token_s: float
    cpu_ms_per_token: float
    idle_cores: float
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A running server and a client of it."""

    name: str
    server: Server
    chat: ChatClient
    idle_cores: float


METRICS: Metrics[Sample] = {
    "tokens/s": lambda sample: sample.tokens_per_s,
    "first token": lambda sample: sample.first_token_s,
    "CPU/token": lambda sample: sample.cpu_ms_per_token,
    "CPU/token over idle": lambda sample: sample.cpu_ms_per_token - 1e3 * sample.idle_cores / sample.tokens_per_s,
}


def warm(name: str, server: Server, chat: ChatClient, clients: int) -> Target:
    """After a window that does not count: the first one loads what is loaded late."""
    asyncio.run(chat.ask_all(prompts(-1, clients)))
    return Target(name, server, chat, server.idle_cores())


def measure(num_rounds: int, clients: Sequence[int], targets: Sequence[Target]) -> Iterator[Sample]:
    """All rounds, with so many clients at once. Only one target is busy at a time."""
    for number in range(num_rounds):
        print(f"round {number + 1} of {num_rounds}", flush=True)
        # The first of two is at a disadvantage if the machine speeds up, so the order alternates.
        ordered = targets if number % 2 == 0 else targets[::-1]
        for num_clients, target in product(clients, ordered):
            yield sample(number, target, num_clients)


def sample(number: int, target: Target, clients: int) -> Sample:
    """One window: ``clients`` chats from the first request to the end of the last answer."""
    cpu_before_s, began = target.server.cpu_s(), time.perf_counter()
    answers = asyncio.run(target.chat.ask_all(prompts(number, clients)))
    elapsed_s, cpu_s = time.perf_counter() - began, target.server.cpu_s() - cpu_before_s
    tokens = sum(answer.completion_tokens for answer in answers)
    return Sample(
        round=number,
        target=target.name,
        clients=clients,
        prompt_tokens=sum(answer.prompt_tokens for answer in answers),
        completion_tokens=tokens,
        tokens_per_s=tokens / elapsed_s,
        first_token_s=mean(answer.first_token_s for answer in answers),
        cpu_ms_per_token=1e3 * cpu_s / tokens,
        idle_cores=target.idle_cores,
        digests=tuple(sha256(answer.text.encode()).hexdigest()[:12] for answer in answers),
    )


def prompts(number: int, clients: int) -> list[str]:
    """Other prompts in each window, different from the first word on: no window profits from the one before."""
    topics = enumerate(islice(cycle(TOPICS), clients))
    return [f"{number}-{clients}-{index}. Explain {topic} in great detail." for index, topic in topics]


def select(samples: Sequence[Sample], target: str, clients: int | None = None) -> list[Sample]:
    """One series, by round."""
    chosen = [each for each in samples if each.target == target and clients in (None, each.clients)]
    return sorted(chosen, key=lambda each: (each.round, each.clients))
