"""What a replica process needs before it has a model, and whether plans hold under full load."""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import yaml

from benchmarks.memory_load import full_load, smallest_load
from benchmarks.process_tree import Memory, find_in_tree, memory
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, Server, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Table
from benchmarks.tiny_models import TinyModel, write_tiny_models
from cluster.serve_config import load_config
from deployments.args import ModelArgs
from models.engines.registry import resolve_engine
from models.memory import MemoryPlan, plan_memory
from models.memory_terms import MIB, RUNTIME_BYTES
from models.store import open_store

PORT = 8105
DEMO = ROOT / "serve_config.yaml"
CLAIM = (
    "What a replica process weighs before it has a model (RUNTIME_BYTES of models/memory_terms.py comes from "
    "here), and whether the plans of the demonstration models hold when they are as busy as their limits allow."
)
METHOD = (
    "Runtime: one replica at a time, a model of a few hundred parameters, after its first request",
    "Load: every sequence at full length with no shared prefix; three full batches of full inputs",
    "Peak: the largest of samples taken 5 times a second; proportional set size, from smaps_rollup",
)
_PERIOD_S = 0.2


@dataclass(frozen=True, slots=True)
class RuntimeSample:
    """The memory of a replica with next to no model, in bytes."""

    engine: str
    memory: Memory
    planned_bytes: int


@dataclass(frozen=True, slots=True)
class PeakSample:
    """Planned and measured bytes of one demonstration model, at rest and at most."""

    model: str
    terms: dict[str, int]
    planned_bytes: int
    rest: Memory
    peak: Memory


class PeakMemory:
    """While entered, looks at a process again and again; ``peak`` is the largest that was seen."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak = memory(pid)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_PERIOD_S):
            self.peak = max(self.peak, memory(self._pid), key=lambda seen: seen.proportional)


def run() -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtimes = [measure_runtime(model, folder) for model in write_tiny_models(folder)]
        peaks = list(measure_peaks(folder))
    samples = [*runtimes, *peaks]
    return Record(
        "runtime-overhead", CLAIM, METHOD, [runtime_table(runtimes), peak_table(peaks)], samples, machine
    )


def measure_runtime(model: TinyModel, folder: Path) -> RuntimeSample:
    """Serve one tiny model alone and look at its replica."""
    print(f"runtime of {model.engine}", flush=True)
    with running_serve(_tiny_config(model, folder), PORT, SETTINGS["stowage"], folder) as server:
        smallest_load(model.engine, model.task).send(server.base_url)
        seen = memory(_replica(server, f"{model.engine}@1"))
    return RuntimeSample(model.engine, seen, RUNTIME_BYTES[model.engine])


def measure_peaks(folder: Path) -> Iterator[PeakSample]:
    """Serve the demonstration models together and make one after the other busy."""
    with running_serve(DEMO, PORT, SETTINGS["stowage"], folder) as server:
        for args in load_config(DEMO).model_args:
            print(f"full load of {args.id}", flush=True)
            yield _measure_peak(server, args)


def _measure_peak(server: Server, args: ModelArgs) -> PeakSample:
    manifest = open_store(args.store).get(args.id).manifest
    plan = plan_memory(manifest, args.limits, resolve_engine(manifest, args.engine))
    pid = _replica(server, str(args.id))
    smallest_load(str(args.id), manifest.task).send(server.base_url)
    rest = memory(pid)
    with PeakMemory(pid) as watch:
        full_load(manifest, plan, args.limits.max_batch_size).send(server.base_url)
    return PeakSample(str(args.id), _terms(plan), plan.total_bytes, rest, watch.peak)


def _terms(plan: MemoryPlan) -> dict[str, int]:
    return {term.name: term.bytes for term in plan.terms}


def _replica(server: Server, application: str) -> int:
    return find_in_tree(server.pid, f"ray::ServeReplica:{application}:")


def _tiny_config(model: TinyModel, folder: Path) -> Path:
    """The demonstration's router, and this model alone."""
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    router = next(app for app in demo["applications"] if app["name"] == "router")
    args = {
        "model": model.engine,
        "source": model.source,
        "task": str(model.task),
        "store": str(folder / "store"),
        **({"tokenizer": model.tokenizer} if model.tokenizer else {}),
    }
    application = {
        "name": f"{model.engine}@1",
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": args,
    }
    path = folder / f"{model.engine}.yaml"
    path.write_text(yaml.safe_dump({"applications": [router, application]}), encoding="utf-8")
    return path


def runtime_table(samples: list[RuntimeSample]) -> Table:
    """What to set RUNTIME_BYTES from."""
    rows = [
        (sample.engine, *_mib(sample.memory.proportional, sample.memory.unique, sample.planned_bytes))
        for sample in samples
    ]
    return Table("A replica with next to no model, MiB", ("engine", "PSS", "USS", "planned"), tuple(rows))


def peak_table(samples: list[PeakSample]) -> Table:
    """Planned against measured."""
    rows = [
        (
            sample.model,
            *_mib(sample.rest.proportional, sample.peak.proportional, sample.peak.unique, sample.planned_bytes),
            f"{sample.peak.proportional / sample.planned_bytes:.2f}",
        )
        for sample in samples
    ]
    headers = ("model", "PSS at rest", "peak PSS", "USS then", "planned", "peak / planned")
    return Table("The demonstration models under full load, MiB", headers, tuple(rows))


def _mib(*sizes: int) -> Iterator[str]:
    return (f"{size / MIB:.0f}" for size in sizes)


def main() -> None:
    """Run it and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(run, args.results)


if __name__ == "__main__":
    main()
