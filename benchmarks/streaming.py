"""What the router costs a stream: 32 at once, of tokens that cost nothing, beside a bare ingress."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chat_client import ChatClient
from benchmarks.chat_windows import METRICS, Sample, measure, select, warm
from benchmarks.full_router import bearer, issue_key
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Pair, Table, medians, ratios

TARGETS = {"stowage": "", "bare": "/bare", "bare-newest": "/bare-newest"}
PORT = 8106
CLAIM = (
    "Streams of chats with a model whose tokens cost nothing, and come faster than they can be passed on. "
    "`stowage`: through Stowage's router, with an API key and its limits, a route and the audit journal; from its "
    "models, a chunk is all that has been generated since the one before. `bare`: a chunk for each token, through "
    "an ingress that writes an event for each chunk and does nothing else. `bare-newest`: the same ingress with "
    "Stowage's chunks."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    num_rounds: int = 6
    num_streams: int = 32
    max_tokens: int = 256


def run(plan: Plan) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as folder:
        samples = list(_measure(plan, Path(folder)))
    method = [
        f"Load: {plan.num_rounds} rounds of {plan.num_streams} streams of {plan.max_tokens} tokens, one client",
        "Model: 500 tokens per second in each stream, whether or not they are read",
        "First token: the mean of a window's streams. CPU: all processes of the Ray instance, not of the client",
    ]
    return Record("streaming", CLAIM, method, tables(samples), samples, machine)


def _measure(plan: Plan, folder: Path) -> Iterator[Sample]:
    options = {"stream_options": {"include_usage": True}}
    key = issue_key(folder)
    with ExitStack() as stack:
        config = ROOT / "benchmarks/streaming.yaml"
        server = stack.enter_context(running_serve(config, PORT, SETTINGS["stowage"], folder))
        chats = {
            name: ChatClient(server.base_url + prefix, "noop", plan.max_tokens, options, bearer(key))
            for name, prefix in TARGETS.items()
        }
        targets = [warm(name, server, chat, plan.num_streams) for name, chat in chats.items()]
        yield from measure(plan.num_rounds, (plan.num_streams,), targets)


def tables(samples: Sequence[Sample]) -> list[Table]:
    """Ours over the bare one's, and all medians."""
    series = {name: select(samples, name) for name in TARGETS}
    label = f"{samples[0].clients} streams"
    beside = [Pair(f"{label}, {name}", series["stowage"], series[name]) for name in TARGETS if name != "stowage"]
    return [
        ratios("Stowage / bare, medians of rounds (lowest-highest)", beside, METRICS),
        medians("Medians, for orientation only; first token in s, CPU in ms", series, METRICS),
    ]


def main() -> None:
    """Run it as the command line says and keep the result."""
    standard = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=standard.num_rounds)
    parser.add_argument("--streams", type=int, default=standard.num_streams)
    parser.add_argument("--max-tokens", type=int, default=standard.max_tokens)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(Plan(args.rounds, args.streams, args.max_tokens)), args.results)


if __name__ == "__main__":
    main()
