"""How fast a divided model generates: groups of ranks beside one process, and what their ranks spend time on."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks.parallel_models import SMOLLM2, on_cpu, store_seeded
from benchmarks.parallel_orders import Spent, Window
from benchmarks.parallel_ranks import Ranks, running
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.tables import Metrics, Pair, Table, medians, ratios
from models.errors import StowageError
from models.parallel.layout import Degree

CLIENTS = (8, 1)
WHOLE = "one process"
CLAIM = (
    "Aim: at 8 clients a pipeline of 2 ranks, a thread each, generates at least 0.9 times as many tokens/s as "
    "one process with 2 threads. Beside it tensor parallel, with the share of time that its ranks communicate."
)
METHOD = (
    "No Ray and no HTTP: the engines that replicas have, each rank in a process of its own, over gloo on loopback",
    "Limits, pages and layers of each rank as planned; float32; 8 sequences of at most 512 tokens, 256 a step",
    "Load: prompts of 16 to 256 tokens, temperature 0; all engines of a model are up and one of them is busy",
    "First token: the mean of a window's requests. CPU: of all processes of an engine",
    "Spent: shares of a window, by each rank's own pulse",
    "In collectives: part of that: all_reduce and the gathering of scores, waits for the other ranks included",
    "Moving: of each collective the time that the last rank to come was in it, when nobody is waited for",
)
_SETTLE_S = 0.2
_NUM_LOOKS = 50


@dataclass(frozen=True, slots=True)
class Side:
    """One way to run a model."""

    label: str
    degree: Degree
    num_threads: int

    def setting(self) -> dict[str, object]:
        parallel = {"tensor": self.degree.tensor, "pipeline": self.degree.pipeline}
        return {
            "parallel": parallel if self.degree.num_ranks > 1 else "off",
            "num_threads": self.num_threads,
            "limits": {"max_model_len": 512, "max_num_seqs": 8, "max_batch_tokens": 256},
        }


ONE = Side(WHOLE, Degree(), 2)
PIPELINE = Side("pipeline 2", Degree(pipeline=2), 1)
SIDES: Mapping[str, tuple[Side, ...]] = {
    "SmolLM2": (ONE, PIPELINE, Side("tensor 3", Degree(tensor=3), 1)),
    "seeded": (ONE, PIPELINE, Side("tensor 2", Degree(tensor=2), 1)),
}


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure. ``num_turns``: requests of each client in a window."""

    num_rounds: int = 5
    num_turns: int = 2
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """One window of one engine. ``spent``: for each rank, the shares of the window."""

    round: int
    model: str
    side: str
    clients: int
    num_tokens: int
    tokens_per_s: float
    first_token_s: float
    cpu_ms_per_token: float
    digests: tuple[str, ...]
    spent: tuple[Mapping[str, float], ...]


METRICS: Metrics[Sample] = {
    "tokens/s": lambda sample: sample.tokens_per_s,
    "first token": lambda sample: sample.first_token_s,
    "CPU/token": lambda sample: sample.cpu_ms_per_token,
}


def run(models: Sequence[str], effort: Effort) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as name:
        samples = [sample for model in models for sample in measure(model, effort, Path(name))]
    method = [*METHOD, f"Rounds: {effort.num_rounds}, each client {effort.num_turns} times", *same(samples)]
    return Record("parallel-throughput", CLAIM, method, tables(samples), samples, machine)


def measure(model: str, effort: Effort, folder: Path) -> Iterator[Sample]:
    """All rounds of one model."""
    where = SMOLLM2 if model == "SmolLM2" else store_seeded(folder)
    with ExitStack() as stack:
        engines = [(side, stack.enter_context(running(on_cpu(where, **side.setting())))) for side in SIDES[model]]
        for number in range(-1, effort.num_rounds):
            print(f"{model}: round {number + 1} of {effort.num_rounds}", flush=True)
            ordered = engines if number % 2 == 0 else engines[::-1]
            for clients, (side, ranks) in product(CLIENTS, ordered):
                window = Window(number, clients, effort.num_turns, effort.max_tokens)
                sample = take(model, side.label, ranks, window)
                if number >= 0:  # the first window loads what is loaded late
                    yield sample


def take(model: str, side: str, ranks: Ranks, window: Window) -> Sample:
    """One window."""
    ranks.look()
    before_s = ranks.cpu_s()
    found = ranks.load(window)
    cpu_s = ranks.cpu_s() - before_s
    spent = look_when_settled(ranks)
    return Sample(
        round=window.number,
        model=model,
        side=side,
        clients=window.clients,
        num_tokens=found.num_tokens,
        tokens_per_s=found.num_tokens / found.elapsed_s,
        first_token_s=found.first_token_s,
        cpu_ms_per_token=1e3 * cpu_s / found.num_tokens,
        digests=found.digests,
        spent=tuple(shares(spent, ranks.degree.tensor)),
    )


def look_when_settled(ranks: Ranks) -> list[Spent]:
    """What each rank has done since the look before, once the last collective has ended everywhere.

    StowageError when that does not come.
    """
    spent = [Spent({}, ())] * len(ranks.pids)
    for _ in range(_NUM_LOOKS):
        time.sleep(_SETTLE_S)
        spent = [before + more for before, more in zip(spent, ranks.look(), strict=True)]
        counts = [len(each.collectives_s) for each in spent]
        if all(count == counts[rank - rank % ranks.degree.tensor] for rank, count in enumerate(counts)):
            return spent
    raise StowageError(f"the ranks of a stage have not taken part in as many collectives: {counts}")


def shares(spent: Sequence[Spent], tensor: int) -> Iterator[Mapping[str, float]]:
    """Of each rank, what part of its time it spent on what. ``tensor`` ranks after each other are a stage."""
    for start in range(0, len(spent), tensor):
        stage = spent[start : start + tensor]
        moving_s = sum(map(min, zip(*(each.collectives_s for each in stage), strict=True)))
        for each in stage:
            total_s = sum(each.doing.values())
            doing = {name: seconds / total_s for name, seconds in each.doing.items()}
            if each.collectives_s:
                doing |= {"in collectives": sum(each.collectives_s) / total_s, "moving": moving_s / total_s}
            yield doing


def select(samples: Sequence[Sample], model: str, side: str, clients: int) -> list[Sample]:
    """One series, by round."""
    wanted = (model, side, clients)
    chosen = [sample for sample in samples if (sample.model, sample.side, sample.clients) == wanted]
    return sorted(chosen, key=lambda sample: sample.round)


def groups(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """The divided ones, by model."""
    return list(dict.fromkeys((each.model, each.side) for each in samples if each.side != WHOLE))


def same(samples: Sequence[Sample]) -> Iterator[str]:
    """How many answers are those of the one process."""
    for model, side in groups(samples):
        pairs = [
            digests
            for clients in CLIENTS
            for ours, whole in zip(
                select(samples, model, side, clients), select(samples, model, WHOLE, clients), strict=True
            )
            for digests in zip(ours.digests, whole.digests, strict=True)
        ]
        equal = sum(mine == other for mine, other in pairs)
        yield f"Answers: {model} {side}: {equal} of {len(pairs)} are those of {WHOLE}"


def tables(samples: Sequence[Sample]) -> list[Table]:
    """Divided over whole, all medians, and where the time goes."""
    pairs = [
        Pair(f"{model}, {side}, {clients} clients", *_series(samples, model, side, clients))
        for (model, side), clients in product(groups(samples), CLIENTS)
    ]
    sides = dict.fromkeys((each.model, each.side, each.clients) for each in samples)
    absolute = {f"{model}, {side}, {clients} clients": select(samples, model, side, clients)
                for model, side, clients in sides}  # fmt: skip
    return [
        ratios(
            "A group of ranks / one process with 2 threads, medians of rounds (lowest-highest)", pairs, METRICS
        ),
        medians("Medians, for orientation only; first token in s, CPU in ms", absolute, METRICS),
        spent_table(samples, CLIENTS[0]),
    ]


def _series(samples: Sequence[Sample], model: str, side: str, clients: int) -> tuple[list[Sample], list[Sample]]:
    return select(samples, model, side, clients), select(samples, model, WHOLE, clients)


def spent_table(samples: Sequence[Sample], clients: int) -> Table:
    """Medians of the shares of each rank."""
    series = {group: select(samples, *group, clients) for group in groups(samples)}
    names = list(dict.fromkeys(n for runs in series.values() for run in runs for rank in run.spent for n in rank))
    rows = [
        (
            f"{model}, {side}, rank {rank}",
            *(f"{median(run.spent[rank].get(name, 0) for run in runs):.0%}" for name in names),
        )
        for (model, side), runs in series.items()
        for rank in range(len(runs[0].spent))
    ]
    return Table(f"Spent at {clients} clients, medians", ("", *names), tuple(rows))


def main() -> None:
    """Run it as the command line says and keep the result."""
    standard = Effort()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=standard.num_rounds)
    parser.add_argument("--turns", type=int, default=standard.num_turns)
    parser.add_argument("--models", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(args.models, Effort(args.rounds, args.turns)), args.results)


if __name__ == "__main__":
    main()
