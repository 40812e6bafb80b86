"""Whether plans hold: planned and measured bytes of replicas that are as busy as their limits allow."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from types import TracebackType

import yaml

from benchmarks.memory_load import full_load, smallest_load
from benchmarks.process_tree import find_in_tree
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, python_script, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Table
from deployments.args import ModelArgs
from models.engines.meters import Meter, ProcessMeter
from models.engines.registry import resolve_engine
from models.hardware import cpu_device, local_node_memory_bytes
from models.memory.measured import Compared, Reading, compare
from models.memory.overheads import MIB
from models.memory.plan import MemoryPlan, plan_memory
from models.store import StoredModel, open_store

PORT = 8107
DEMO = ROOT / "serve_config.yaml"
CLAIM = (
    "The memory that is planned before anything is deployed is what a replica takes when it is as busy as its "
    "limits allow: total within 5%, never under by more than 2%."
)
METHOD = (
    "One replica at a time, alone in its cluster, planned with the overheads that come with Stowage",
    "Rounds: each starts all of them afresh",
    "Load: every sequence at full length at once, with no shared prefix; or full batches of full inputs",
    "Vocabulary: inputs have every token, for rows of a mapped table that nobody asked for are not resident",
    "Measured from outside, twice a second: mapped weights whole, of all other pages the proportional share",
    "Peaks in between: from the kernel's own high-water mark (VmHWM)",
    "Loaded: what is there after the first request, beside weights, runtime and session of the plan",
    "Work: what the full load adds at most, beside the other terms",
    "Ratio: measured over planned",
)
_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """One model of the demonstration, by its application's name, with other arguments."""

    label: str
    application: str
    changes: dict[str, object]


def _smollm2(label: str, num_seqs: int, **changes: object) -> Case:
    limits = {"max_model_len": 2048, "max_num_seqs": num_seqs}
    return Case(f"SmolLM2 {label}, {num_seqs} x 2048", "smollm2-135m@1", {"limits": limits, **changes})


# The GGUF file is converted to float32 unless told otherwise, so bfloat16 is another version.
_BFLOAT16: dict[str, object] = {"version": "bfloat16", "dtype": "bfloat16"}
CASES = (
    _smollm2("float32", 1),
    _smollm2("float32", 8),
    _smollm2("bfloat16", 1, **_BFLOAT16),
    _smollm2("bfloat16", 8, **_BFLOAT16),
    Case("MiniLM float32, batches of 32", "minilm@1", {}),
    Case("MiniLM int8 ONNX, batches of 8", "minilm@2", {}),
)


@dataclass(frozen=True, slots=True)
class PlanSample:
    """One replica's plan, and what was measured of it under full load."""

    round: int
    label: str
    terms: dict[str, int]
    planned_bytes: int
    peak_bytes: int
    weights_bytes: int
    compared: tuple[Compared, ...]

    @property
    def ratio(self) -> float:
        return self.peak_bytes / self.planned_bytes


class PeakWatch:
    """While entered, looks again and again; ``peak`` is the reading with the highest point."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak = meter.read()

    def __enter__(self) -> PeakWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_PERIOD_S):
            self._look()
        self._look()

    def _look(self) -> None:
        self.peak = max(self.peak, self._meter.read(), key=lambda seen: seen.high_bytes)


def run(cases: Sequence[Case], num_rounds: int) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as name:
        samples = [measure(case, number, Path(name)) for number, case in product(range(num_rounds), cases)]
    tables = [totals_table(samples), terms_table(samples)]
    return Record("planned-vs-measured", CLAIM, METHOD, tables, samples, machine)


def measure(case: Case, number: int, folder: Path) -> PlanSample:
    """Serve one model alone and make it as busy as it may be."""
    print(f"round {number + 1}: {case.label}", flush=True)
    config, args = write_config(case, folder)
    _import_first(config)
    with running_serve(config, PORT, SETTINGS["stowage"], folder) as server:
        stored = open_store(args.store).get(args.id)
        plan = _plan(stored, args)
        pid = find_in_tree(server.pid, f"ray::ServeReplica:{args.id}:")
        smallest_load(str(args.id), stored.manifest.task).send(server.base_url)
        meter = ProcessMeter(stored.folder, Path(f"/proc/{pid}"))
        ready = meter.read()
        with PeakWatch(meter) as watch:
            full_load(stored.manifest, plan, plan.max_batch_size).send(server.base_url)
    return _sample(case, number, plan, ready, watch.peak)


def _import_first(config: Path) -> None:
    """In a process that ends: one that goes on, as Ray's would, shares its libraries with the replica."""
    command = [python_script("stowage"), "models", "import", "--config", str(config)]
    subprocess.run(command, check=True, capture_output=True)


def write_config(case: Case, folder: Path) -> tuple[Path, ModelArgs]:
    """The demonstration's router, and this model alone in a new store; the arguments that it is deployed with."""
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    router, model = (
        next(app for app in demo["applications"] if app["name"] == name) for name in ("router", case.application)
    )
    changed = {**model["args"], **case.changes, "store": str(folder / "store")}
    args = ModelArgs.model_validate(changed)
    model |= {"name": str(args.id), "args": changed}
    path = folder / f"{args.id}-{args.limits.max_num_seqs}.yaml"
    path.write_text(yaml.safe_dump({"applications": [router, model]}), encoding="utf-8")
    return path, args


def _plan(stored: StoredModel, args: ModelArgs) -> MemoryPlan:
    engine = resolve_engine(stored.manifest, args.engine)
    device = cpu_device(local_node_memory_bytes(), "this machine")
    return plan_memory(stored.manifest, args.limits, engine, device=device)


def _sample(case: Case, number: int, plan: MemoryPlan, ready: Reading, peak: Reading) -> PlanSample:
    return PlanSample(
        round=number,
        label=case.label,
        terms={term.name: term.bytes for term in plan.terms},
        planned_bytes=plan.total_bytes,
        peak_bytes=peak.high_bytes,
        weights_bytes=peak.parts["weights"],
        compared=compare(plan.terms, ready, peak),
    )


def totals_table(samples: Sequence[PlanSample]) -> Table:
    """What the claim speaks of, of every run."""
    rows = [
        (
            label,
            *_mib(runs[0].planned_bytes),
            ", ".join(_mib(*(run.peak_bytes for run in runs))),
            ", ".join(f"{run.ratio:.3f}" for run in runs),
        )
        for label, runs in _by_label(samples)
    ]
    return Table("Total of each run, MiB", ("model", "planned", "measured", "ratio"), tuple(rows))


def terms_table(samples: Sequence[PlanSample]) -> Table:
    """Where the deviation comes from."""
    headers = ("model", "weights planned", "mapped", "loaded planned", "measured", "work planned", "measured")
    rows = tuple((label, *_term_cells(runs)) for label, runs in _by_label(samples))
    return Table("By terms, medians of the runs, MiB", headers, rows)


def _by_label(samples: Sequence[PlanSample]) -> Iterator[tuple[str, list[PlanSample]]]:
    for label in dict.fromkeys(sample.label for sample in samples):
        yield label, [sample for sample in samples if sample.label == label]


def _term_cells(runs: Sequence[PlanSample]) -> Iterator[str]:
    """Planned sizes are the same in all runs."""
    loaded, work = zip(*(run.compared for run in runs), strict=True)
    return _mib(
        runs[0].terms["weights"],
        median(run.weights_bytes for run in runs),
        loaded[0].planned_bytes,
        median(each.measured_bytes for each in loaded),
        work[0].planned_bytes,
        median(each.measured_bytes for each in work),
    )


def _mib(*sizes: float) -> Iterator[str]:
    return (f"{size / MIB:.0f}" for size in sizes)


def main() -> None:
    """Run it and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="run the cases whose label holds this text")
    args = parser.parse_args()
    cases = [case for case in CASES if args.only in case.label]
    keep(lambda: run(cases, args.rounds), args.results)


if __name__ == "__main__":
    main()
