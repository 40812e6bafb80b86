"""How fast tokens come: Stowage beside ``transformers serve``, the same model, prompts, threads and cache."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chat_client import ChatClient
from benchmarks.chat_windows import METRICS, Sample, Target, measure, select, warm
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import HOST, ROOT, python_script, running, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Pair, Table, medians, ratios
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


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    num_rounds: int = 5
    max_tokens: int = 64


def run(plan: Plan) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = (start_stowage(stack, folder, plan), start_transformers(stack, plan))
        samples = list(measure(plan.num_rounds, CLIENTS, targets))
    return Record("token-throughput", CLAIM, method(plan, samples), tables(samples), samples, machine)


def start_stowage(stack: ExitStack, folder: Path, plan: Plan) -> Target:
    """Stowage as `stowage serve` runs it, with this one model."""
    server = stack.enter_context(running_serve(CONFIG, PORTS["stowage"], SETTINGS["stowage"], folder))
    options = {"stream_options": {"include_usage": True}}  # the other server refuses it, and always tells
    return warm("stowage", server, ChatClient(server.base_url, str(MODEL), plan.max_tokens, options), max(CLIENTS))


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
    return warm(
        "transformers", server, ChatClient(server.base_url, str(model.folder), plan.max_tokens, {}), max(CLIENTS)
    )


def method(plan: Plan, samples: Sequence[Sample]) -> list[str]:
    """How it was measured, for the record."""
    ours, theirs = (select(samples, target) for target in TARGETS)
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
        ours, theirs = (select(samples, target, clients) for target in TARGETS)
        pairs.append(Pair(f"{clients} clients", ours, theirs))
        absolute |= {f"{clients} clients, stowage": ours, f"{clients} clients, transformers serve": theirs}
    return [
        ratios("Stowage / transformers serve, medians of rounds (lowest-highest)", pairs, METRICS),
        medians("Medians, for orientation only; first token in s, CPU in ms", absolute, METRICS),
    ]


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
