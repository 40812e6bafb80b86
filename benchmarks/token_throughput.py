"""How fast tokens come: Stowage beside ``transformers serve``, the same model, prompts, threads and cache."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.chat_client import ChatClient
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import HOST, ROOT, Server, python_script, running, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Metrics, Pair, Table, medians, ratios
from models.spec import Limits
from models.store import open_store
from models.types import VersionId

CLIENTS = (1, 4, 8)
TARGETS = ("stowage", "transformers")
PORTS = {"stowage": 8102, "transformers": 8103}
MODEL = VersionId("smollm2-135m", "1")
CONFIG = ROOT / "benchmarks/smollm2.yaml"
CLAIM = (
    "Tokens per second, time to the first token and CPU-seconds per token of SmolLM2-135M-Instruct (float32) when "
    "chats are streamed through Stowage's router, beside `transformers serve --continuous-batching`."
)
NUM_PAGES = 512  # what the plan of CONFIG gives: 8 sequences of 2048 tokens, 32 tokens a page
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
class Plan:
    """How much to measure."""

    num_rounds: int = 5
    max_tokens: int = 64


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


def run(plan: Plan) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = (start_stowage(stack, folder, plan), start_transformers(stack, plan))
        samples = list(measure(plan, targets))
    return Record("token-throughput", CLAIM, method(plan, samples), tables(samples), samples, machine)


def start_stowage(stack: ExitStack, folder: Path, plan: Plan) -> Target:
    """Stowage as `stowage serve` runs it, with this one model."""
    server = stack.enter_context(running_serve(CONFIG, PORTS["stowage"], SETTINGS["stowage"], folder))
    options = {"stream_options": {"include_usage": True}}  # the other server refuses it, and always tells
    return _warm("stowage", server, ChatClient(server.base_url, str(MODEL), plan.max_tokens, options))


def start_transformers(stack: ExitStack, plan: Plan) -> Target:
    """transformers' own server with the same weights, attention, pages, batch and threads."""
    model = open_store().get(MODEL)
    limits = Limits()
    cache = {
        "--cb-block-size": limits.page_size,
        "--cb-num-blocks": NUM_PAGES,
        "--cb-max-batch-tokens": limits.max_batch_tokens,
    }
    flags = [f"{name}={value}" for name, value in cache.items()]
    place = [f"--host={HOST}", f"--port={PORTS['transformers']}", "--device=cpu", "--attn-implementation=sdpa"]
    command = [python_script("transformers"), "serve", str(model.folder), "--continuous-batching", *flags, *place]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = stack.enter_context(running(command, environment, PORTS["transformers"], "/health"))
    return _warm("transformers", server, ChatClient(server.base_url, str(model.folder), plan.max_tokens, {}))


def _warm(name: str, server: Server, chat: ChatClient) -> Target:
    """After a window that does not count: the first one loads what is loaded late."""
    asyncio.run(chat.ask_all(prompts(-1, max(CLIENTS))))
    return Target(name, server, chat, server.idle_cores())


def measure(plan: Plan, targets: Sequence[Target]) -> Iterator[Sample]:
    """All rounds. Only one target is busy at a time."""
    for number in range(plan.num_rounds):
        print(f"round {number + 1} of {plan.num_rounds}", flush=True)
        # The first of two is at a disadvantage if the machine speeds up, so the order alternates.
        ordered = targets if number % 2 == 0 else targets[::-1]
        for clients, target in product(CLIENTS, ordered):
            yield sample(number, target, clients)


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
    topics = enumerate(TOPICS[:clients])
    return [f"{number}-{clients}-{index}. Explain {topic} in great detail." for index, topic in topics]


def method(plan: Plan, samples: Sequence[Sample]) -> list[str]:
    """How it was measured, for the record."""
    ours, theirs = (_select(samples, target) for target in TARGETS)
    digests = [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a.digests, b.digests, strict=True)]
    same = sum(mine == other for mine, other in digests)
    tokens = [sum(sample.completion_tokens for sample in series) for series in (ours, theirs)]
    limits = Limits()
    cache = f"{NUM_PAGES} pages of {limits.page_size} tokens, at most {limits.max_batch_tokens} tokens a step"
    answers = f"{plan.max_tokens} tokens of each answer, temperature 0, streamed"
    return [
        f"Load: {plan.num_rounds} rounds, {answers}; both servers are up and one of them is busy",
        f"Both: float32, sdpa, one thread of OpenMP, {cache}",
        f"Answers: {same} of {len(digests)} are the same text; {tokens[0]} and {tokens[1]} tokens",
        "First token: the mean of a window's clients. CPU: all processes of a server, on our side all of Ray's",
    ]


def tables(samples: Sequence[Sample]) -> list[Table]:
    """Ours over theirs, and all medians."""
    pairs: list[Pair[Sample]] = []
    absolute: dict[str, Sequence[Sample]] = {}
    for clients in CLIENTS:
        ours, theirs = (_select(samples, target, clients) for target in TARGETS)
        pairs.append(Pair(f"{clients} clients", ours, theirs))
        absolute |= {f"{clients} clients, stowage": ours, f"{clients} clients, transformers serve": theirs}
    return [
        ratios("Stowage / transformers serve, medians of rounds (lowest-highest)", pairs, METRICS),
        medians("Medians, for orientation only; first token in s, CPU in ms", absolute, METRICS),
    ]


def _select(samples: Sequence[Sample], target: str, clients: int | None = None) -> list[Sample]:
    chosen = [each for each in samples if each.target == target and clients in (None, each.clients)]
    return sorted(chosen, key=lambda each: (each.round, each.clients))


def main() -> None:
    """Run it as the command line says and keep the result."""
    standard = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=standard.num_rounds)
    parser.add_argument("--max-tokens", type=int, default=standard.max_tokens)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(Plan(args.rounds, args.max_tokens)), args.results)


if __name__ == "__main__":
    main()
