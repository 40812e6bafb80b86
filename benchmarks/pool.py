"""Fifty models in a pool whose budget holds twenty, beside ``serve.multiplexed`` with the same engines."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.pool_samples import Effort, Latencies, ReplicaSample, SideAnswers, Window
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT
from benchmarks.settings import SETTINGS
from benchmarks.tables import Metrics, Pair, Table, medians, ratios
from models.memory.plan import format_bytes

SIDES = ("pool", "multiplexed")
CLAIM = (
    "50 models share a pool of 2 replicas, each with a budget for 20 of them. Is every request answered, and "
    "answered right? Does a warm model notice that others are loaded beside it? The same with `serve.multiplexed`."
)
METHOD = (
    "Models: MiniLM, MiniLM as int8 ONNX, SmolLM2-135M (float32); 20 BERT, 15 Llama and 12 ONNX encoders",
    "Random weights in the latter, 6 to 7 million each",
    "Requests: 16 tokens in, a vector or 12 greedy tokens out",
    "Budget of a replica: the runtime, all tokenizers and 20 times the mean planned size of the random models",
    "Right: the same text, or a vector within 1e-4, as transformers or ONNX Runtime compute it by themselves",
    "Answers: models chosen by Zipf's law from a fixed seed; a refusal counts as lost",
    "Latencies: one warm BERT, one request after the other, over Serve handles",
    "Beside others: requests from another process, each 0.1 s after the answer to the one before, to one replica",
    "What counts: the warm model's requests during which one of the others was under way",
    "Requests for warm models: for a vector or one token of 16; three models, which stay",
    "Loads: each request is for a cold model, which refuses it: it has a token that is in no vocabulary",
    "Requests for cold models: the same models, which answer with a vector or one token",
    "Cold models: all of the replica's, those of MiniLM and SmolLM2 included",
    "multiplexed: 20 models in a replica, the same engines and warm-up, transformers' loading, in threads",
    "multiplexed spreads requests over both replicas, so that half of them are not beside the warm model",
    "Both stand in one Ray and are asked in turn, in alternating order",
)
_BESIDE: Mapping[str, Callable[[Window], Latencies]] = {
    "idle": lambda each: each.idle,
    "beside requests for warm models": lambda each: each.beside_warm,
    "beside loads": lambda each: each.beside_loads,
    "beside requests for cold models": lambda each: each.beside_cold,
}
_LATENCIES: Metrics[Latencies] = {"p50": lambda each: each.p50_s, "p99": lambda each: each.p99_s}


def run(effort: Effort) -> Record:
    """In this process, which starts a Ray of its own and stops it."""
    os.environ.update({**SETTINGS["stowage"], "PYTHONPATH": str(ROOT)})
    from benchmarks.pool_rounds import measure  # noqa: PLC0415  Ray reads its environment when it is imported

    machine = this_machine()
    found = measure(effort)
    return Record(
        name="pool",
        claim=CLAIM,
        method=METHOD,
        tables=[
            answer_table(found.answers),
            slowdown_table(found.windows),
            beside_table(found.windows),
            latency_table(found.windows),
            replica_table(found.replicas),
        ],
        samples=[*found.answers, *found.windows, *found.replicas],
        machine=machine,
    )


def answer_table(answers: Sequence[SideAnswers]) -> Table:
    """How many of the same requests each side answered."""
    rows = [
        (
            each.side,
            *map(str, (each.answers.right, each.answers.wrong, each.answers.lost)),
            f"{each.answers.duration_s:.1f}",
        )
        for each in answers
    ]
    return Table("Answers", ("", "right", "wrong", "lost", "seconds"), tuple(rows))


def slowdown_table(windows: Sequence[Window]) -> Table:
    """The same model in the same minute, beside others and alone."""
    pairs = [
        Pair(f"{side}, {label}", [get(each) for each in found], [each.idle for each in found])
        for side in SIDES
        for found in ([each for each in windows if each.side == side],)
        for label, get in _BESIDE.items()
        if label != "idle"
    ]
    return ratios("The warm model beside others, over the same alone", pairs, _LATENCIES)


def beside_table(windows: Sequence[Window]) -> Table:
    """Pool over multiplexed, in the same rounds."""
    ours, theirs = ([each for each in windows if each.side == side] for side in SIDES)
    pairs = [
        Pair(label, [get(each) for each in ours], [get(each) for each in theirs]) for label, get in _BESIDE.items()
    ]
    return ratios("pool over multiplexed", pairs, _LATENCIES)


def latency_table(windows: Sequence[Window]) -> Table:
    """For orientation."""
    series = {
        f"{side}, {label}": [get(each) for each in windows if each.side == side]
        for side in SIDES
        for label, get in _BESIDE.items()
    }
    metrics: Metrics[Latencies] = {
        "p50 ms": lambda each: 1000 * each.p50_s,
        "p99 ms": lambda each: 1000 * each.p99_s,
        "requests": lambda each: each.num_requests,
        "of others": lambda each: each.num_others,
    }
    return medians("Medians of the rounds", series, metrics)


def replica_table(replicas: Sequence[ReplicaSample]) -> Table:
    """Counts since the start, and bytes at the end."""
    counts = ("hits", "loads", "failures", "evictions")
    rows = [
        (
            str(number),
            *(str(each.totals.get(name, 0)) for name in counts),
            str(each.num_resident),
            *map(format_bytes, (each.budget_bytes, each.planned_bytes, each.measured_bytes)),
        )
        for number, each in enumerate(replicas)
    ]
    headers = ("replica", *counts, "resident models", "budget", "planned for them", "measured")
    return Table("The pool's replicas at the end", headers, tuple(rows))


def main() -> None:
    defaults = Effort()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description=__doc__)
    parser.add_argument("--requests", type=int, default=defaults.num_requests)
    parser.add_argument("--rounds", type=int, default=defaults.num_rounds)
    parser.add_argument("--window-s", type=float, default=defaults.window_s)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    effort = Effort(num_requests=given.requests, num_rounds=given.rounds, window_s=given.window_s)
    keep(lambda: run(effort), given.results)


if __name__ == "__main__":
    main()
