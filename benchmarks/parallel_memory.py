"""Whether the plan of each rank holds, and what all ranks of a model take together beside one process."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parallel_models import MAX_TOKENS, SMOLLM2, on_cpu, store_seeded
from benchmarks.parallel_orders import Filling
from benchmarks.parallel_ranks import Ranks, running
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.tables import Table
from cluster.tiny_models import write_tiny_models
from deployments.args import ModelArgs
from deployments.planning import plan_model
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.memory.group_plan import RankPlan
from models.memory.measured import Compared, Reading, compare
from models.memory.overheads import MEASURED, MIB, Overhead, Overheads
from models.memory.plan import MemoryPlan
from models.process_memory import ProcessMemory, read_process_memory, reset_peak
from models.progress import NoProgress
from models.store import StoredModel, open_store

WHOLE = "one process"
CLAIM = (
    "Aim: every rank of a divided model takes what is planned for it, within 5%, and all of them on one node at "
    "most 1.10 times what one process takes."
)
METHOD = (
    "No Ray and no HTTP: the engines that replicas have, each rank in a process of its own",
    "Runtime: not the plan's, which is a replica's under Ray, but what a rank's process has with a tiny model",
    "Load: every sequence at full length at once, with no shared prefix and tokens of the whole vocabulary",
    "Of a rank: the kernel's high-water mark (VmHWM) under load, which like the plan counts shared pages whole",
    "Of all ranks: the proportional set sizes (PSS) after the load, in which what they share counts once",
    "Weights and pages: as planned, for ranks on nodes of their own, which share nothing",
    "Ratio: measured over planned",
)
_LIMITS = {"max_model_len": MAX_TOKENS, "max_num_seqs": 4}
_NUM_NEW_TOKENS = 32
_FIRST = Filling(0, 1, 1, 4, 8)
_HELD = frozenset({"weights", "copied_weights", "kv_cache"})


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run a model: ``parallel`` as its arguments have it."""

    model: str
    label: str
    parallel: object = "off"


CASES = (
    Case("SmolLM2", WHOLE),
    Case("SmolLM2", "pipeline 2", {"pipeline": 2}),
    Case("SmolLM2", "tensor 3", {"tensor": 3}),
    Case("seeded", WHOLE),
    Case("seeded", "pipeline 2", {"pipeline": 2}),
    Case("seeded", "tensor 2 x pipeline 2", {"tensor": 2, "pipeline": 2}),
)


@dataclass(frozen=True, slots=True)
class RankSample:
    """One process: what was planned and measured of it, in bytes. ``share_bytes`` is its PSS at the end."""

    model: str
    label: str
    rank: int
    holds: str
    terms: Mapping[str, int]
    peak_bytes: int
    share_bytes: int
    compared: tuple[Compared, ...]

    @property
    def planned_bytes(self) -> int:
        return sum(self.terms.values())

    @property
    def held_bytes(self) -> int:
        """Weights and pages, as planned."""
        return sum(size for name, size in self.terms.items() if name in _HELD)


def run(cases: Sequence[Case]) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overheads = MEASURED.updated(measure_runtime(folder))
        stores = {"SmolLM2": SMOLLM2, "seeded": store_seeded(folder / "seeded")}
        samples = [
            sample for case in cases for sample in measure(case, on_cpu(stores[case.model], limits=_LIMITS,
                                                                        parallel=case.parallel), overheads)
        ]  # fmt: skip
    return Record("parallel-memory", CLAIM, METHOD, [ranks_table(samples), sums_table(samples)], samples, machine)


def measure_runtime(folder: Path) -> Overheads:
    """What a process has whose model weighs next to nothing, after its first request."""
    tiny = next(each for each in write_tiny_models(folder) if each.engine == "transformers")
    args = on_cpu({"model": "tiny", "source": tiny.source, "tokenizer": tiny.tokenizer, "task": tiny.task,
                   "store": str(folder / "tiny")})  # fmt: skip
    import_model(args, LocalStore(folder / "tiny"), NoProgress())
    with running(args) as ranks:
        ranks.load(_FIRST)
        found = _look(open_store(args.store).get(args.id), ranks.pids[0])
    source = "a rank's process with a tiny model"
    return Overheads(
        entries=(Overhead(engine="transformers", kind="cpu", host_bytes=found.resident_bytes, source=source),)
    )


def measure(case: Case, args: ModelArgs, overheads: Overheads) -> Iterator[RankSample]:
    """Run the model alone, as busy as it may be."""
    print(f"{case.model}, {case.label}", flush=True)
    stored = open_store(args.store).get(args.id)
    plan = plan_model(args, stored.manifest, (), overheads)
    with running(args) as ranks:
        ready = _readings(ranks, stored)
        length = plan.max_model_len - _NUM_NEW_TOKENS
        ranks.load(Filling(0, plan.max_num_seqs, 1, _NUM_NEW_TOKENS, length))
        seen = [_look(stored, pid) for pid in ranks.pids]
    for rank, (before, now) in enumerate(zip(ready, seen, strict=True)):
        yield _sample(case, plan, rank, before, now)


def _readings(ranks: Ranks, stored: StoredModel) -> list[Reading]:
    """After the first request; the peaks of the load begin now."""
    ranks.load(_FIRST)
    for pid in ranks.pids:
        reset_peak(_process(pid))
    return [_reading(_look(stored, pid)) for pid in ranks.pids]


def _sample(case: Case, plan: MemoryPlan, rank: int, ready: Reading, seen: ProcessMemory) -> RankSample:
    planned: MemoryPlan | RankPlan = plan.group.ranks[rank] if plan.group else plan
    return RankSample(
        model=case.model,
        label=case.label,
        rank=rank,
        holds=str(plan.group.layout.shard(rank)) if plan.group else "all",
        terms={term.name: term.bytes for term in planned.terms},
        peak_bytes=seen.peak_resident_bytes,
        share_bytes=seen.mapped_share_bytes + seen.other_bytes,
        compared=compare(planned.terms, ready, _reading(seen)),
    )


def _look(stored: StoredModel, pid: int) -> ProcessMemory:
    return read_process_memory(stored.folder, _process(pid))


def _process(pid: int) -> Path:
    return Path("/proc") / str(pid)


def _reading(seen: ProcessMemory) -> Reading:
    """Everything whole."""
    return Reading(seen.resident_bytes, seen.peak_resident_bytes, {"weights": seen.mapped_bytes})


def ranks_table(samples: Sequence[RankSample]) -> Table:
    """Each process beside its plan."""
    headers = ("process", "planned", "measured", "ratio", "loaded planned", "measured", "work planned", "measured")
    return Table("Each process, MiB", headers, tuple(map(_rank_row, samples)))


def _rank_row(sample: RankSample) -> tuple[str, ...]:
    parts = (size for each in sample.compared for size in (each.planned_bytes, each.measured_bytes))
    return (
        f"{sample.model}, {sample.label}, rank {sample.rank}: {sample.holds}",
        _mib(sample.planned_bytes),
        _mib(sample.peak_bytes),
        f"{sample.peak_bytes / sample.planned_bytes:.3f}",
        *map(_mib, parts),
    )


def sums_table(samples: Sequence[RankSample]) -> Table:
    """All processes of a model beside one."""
    groups = dict.fromkeys((each.model, each.label) for each in samples)
    rows = [_sums(*group, samples) for group in groups]
    headers = ("processes together", "weights and pages", "beside one process", "all, PSS", "beside one process")
    return Table("Sums, MiB", headers, tuple(rows))


def _sums(model: str, label: str, samples: Sequence[RankSample]) -> tuple[str, ...]:
    ours, whole = (
        [each for each in samples if (each.model, each.label) == (model, name)] for name in (label, WHOLE)
    )
    held = [sum(each.held_bytes for each in series) for series in (ours, whole)]
    share = [sum(each.share_bytes for each in series) for series in (ours, whole)]
    return (
        f"{model}, {label}",
        _mib(held[0]),
        f"{held[0] / held[1]:.3f}",
        _mib(share[0]),
        f"{share[0] / share[1]:.3f}",
    )


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / MIB:.0f}"


def main() -> None:
    """Run it and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--model", choices=("SmolLM2", "seeded"), help="one of the two; default: both")
    args = parser.parse_args()
    cases = [case for case in CASES if args.model in (None, case.model)]
    keep(lambda: run(cases), args.results)


if __name__ == "__main__":
    main()
