"""The transformers engine on a GPU beside bare ``generate_batch``, and two tensor ranks on that card over gloo.

Written where there is no GPU, and tried with ``--device cpu`` alone: of a GPU there is no result yet.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, GenerationConfig

from benchmarks.parallel_models import on_cpu, store_seeded
from benchmarks.parallel_orders import Window
from benchmarks.parallel_ranks import Ranks, running
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.tables import Metrics, Pair, Table, medians, ratios
from deployments.args import ModelArgs
from deployments.options import engine_settings
from deployments.planning import plan_model
from models.engines.continuous import batching_config
from models.engines.pretrained import load_pretrained
from models.store import open_store

BARE, ENGINE, TENSOR = "generate_batch", "engine", "tensor 2 on one card"
CLAIM = (
    "Aim: the engine generates at least 0.95 times as many tokens/s as bare generate_batch. Beside it two tensor "
    "ranks on the same card, over gloo: a proof that they work, and no gain."
)
METHOD = (
    "Both with the same pages, batch tokens and sequences; bare generate_batch keeps its cache between windows",
    "Load: prompts of 16 to 256 tokens, 64 tokens of answer, temperature 0; one side is busy at a time",
)
_NUM_NEW_TOKENS = 64
_LIMITS = {"max_model_len": 512, "max_num_seqs": 32, "max_batch_tokens": 512}
_NO_TOKEN = -1


@dataclass(frozen=True, slots=True)
class Sample:
    """One window of one side."""

    round: int
    side: str
    tokens_per_s: float


METRICS: Metrics[Sample] = {"tokens/s": lambda sample: sample.tokens_per_s}


class BareModel:
    """transformers' own loop, with nothing around it."""

    def __init__(self, args: ModelArgs, device: str) -> None:
        stored = open_store(args.store).get(args.id)
        settings = replace(engine_settings(args, plan_model(args, stored.manifest, ())), device=device)
        self._model: Any = load_pretrained(AutoModelForCausalLM, stored.folder, stored.manifest, device)
        self._batching = batching_config(settings)

    def load(self, window: Window) -> float:
        """Tokens per second; every answer has all its tokens."""
        vocab_size: int = self._model.config.vocab_size
        prompts = [list(window.prompt(client, 0, vocab_size)) for client in range(window.clients)]
        config = GenerationConfig(max_new_tokens=window.max_tokens, do_sample=False, eos_token_id=_NO_TOKEN)  # type: ignore[no-untyped-call]
        began = time.perf_counter()
        answers = self._model.generate_batch(
            prompts, config, continuous_batching_config=self._batching, persistent_manager=True
        )
        return sum(len(each.generated_tokens) for each in answers.values()) / (time.perf_counter() - began)


def run(num_rounds: int, num_clients: int, device: str) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with ExitStack() as stack:
        where = store_seeded(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        whole = on_cpu(where, limits=_LIMITS)
        divided = on_cpu(where, limits=_LIMITS, parallel={"tensor": 2})
        groups = {
            side: stack.enter_context(running(args, device)) for side, args in ((ENGINE, whole), (TENSOR, divided))
        }
        samples = list(measure(num_rounds, num_clients, BareModel(whole, device), groups))
    return Record(
        "parallel-gpu",
        CLAIM,
        [*METHOD, f"Device: {device}; {num_clients} clients"],
        tables(samples),
        samples,
        machine,
    )


def measure(num_rounds: int, num_clients: int, bare: BareModel, groups: Mapping[str, Ranks]) -> Iterator[Sample]:
    """All rounds; the first window of each loads what is loaded late."""
    for number in range(-1, num_rounds):
        window = Window(number, num_clients, 1, _NUM_NEW_TOKENS)
        speeds = {BARE: bare.load(window)}
        for side, ranks in groups.items():
            found = ranks.load(window)
            speeds[side] = found.num_tokens / found.elapsed_s
        if number >= 0:
            yield from (Sample(number, side, speed) for side, speed in speeds.items())


def tables(samples: list[Sample]) -> list[Table]:
    """Each over the bare loop."""
    series = {side: [each for each in samples if each.side == side] for side in (BARE, ENGINE, TENSOR)}
    pairs = [Pair(side, series[side], series[BARE]) for side in (ENGINE, TENSOR)]
    return [
        ratios(f"Beside bare {BARE}, medians of rounds (lowest-highest)", pairs, METRICS),
        medians("Medians, for orientation only", series, METRICS),
    ]


def main() -> None:
    """Run it as the command line says and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clients", type=int, default=32, help="at most 32, which the limits have room for")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(args.rounds, args.clients, args.device), args.results)


if __name__ == "__main__":
    main()
