"""Whether replicas of one model hold its weights once, how fast a replica attaches, and what an import takes."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from benchmarks.attach import AttachSample, measure_attach
from benchmarks.import_memory import ImportSample, measure_import
from benchmarks.memory_load import smallest_load
from benchmarks.process_tree import all_in_tree
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Table
from models.errors import StowageError
from models.memory.overheads import MIB
from models.process_memory import ProcessMemory, read_process_memory
from models.store import DEFAULT_STORE, StoredModel, open_store
from models.types import Task, VersionId

PORT = 8106
DEMO = ROOT / "serve_config.yaml"
SMOLLM2 = VersionId("smollm2-135m", "1")
CLAIM = (
    "Replicas of one model on one node hold one physical copy of its weights: the proportional set sizes of all "
    "replicas' weights add up to one copy (at most 1.05 times), and all memory of all replicas to the weights and "
    "as many empty replicas (at most 1.10 times)."
)
METHOD = (
    "Replicas: one sequence of at most 256 tokens, since the KV cache is each replica's own; after each was busy",
    "Empty replica: the same engine, limits, tokenizer and vocabulary, one layer of width 16; as many at once",
    "PSS: from smaps; of the weights, that of the mappings of the version's files",
    "Attach: processes of their own, one after the other; the files are in the page cache",
    "Import: looked at every 20 ms from outside; torch and transformers are loaded before",
)
_LIMITS = {"max_model_len": 256, "max_num_seqs": 1, "max_batch_tokens": 64}
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class ReplicasSample:
    """All replicas of one model at one moment."""

    model: str
    weight_bytes: int
    replicas: tuple[ProcessMemory, ...]

    @property
    def weights_share_bytes(self) -> int:
        """Of all replicas' weights."""
        return sum(each.mapped_share_bytes for each in self.replicas)

    @property
    def total_bytes(self) -> int:
        """The proportional share of everything."""
        return self.weights_share_bytes + sum(each.other_bytes for each in self.replicas)


def run(num_replicas: int = 4, num_attaches: int = 5) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = measure_replicas(_demo_args(), folder, num_replicas)
        source = write_empty_like(open_store().get(SMOLLM2).folder, folder / "empty")
        args = {"model": "empty", "source": f"file:{source}", "store": str(folder / "store")}
        empty = measure_replicas(args, folder, num_replicas)
        attaches = measure_attach(DEFAULT_STORE, SMOLLM2, num_attaches)
        imported = measure_import(folder, "bfloat16")
    tables = [replicas_table(full, empty), attach_table(attaches), import_table(imported)]
    return Record("shared-weights", CLAIM, METHOD, tables, [full, empty, *attaches, imported], machine)


def write_empty_like(model: Path, folder: Path) -> Path:
    """The model of the folder with next to no weights: one narrow layer, the whole vocabulary."""
    config = AutoConfig.from_pretrained(model)
    for name in ("hidden_size", "intermediate_size", "head_dim"):
        setattr(config, name, 16)
    for name in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads"):
        setattr(config, name, 1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def measure_replicas(args: Mapping[str, object], folder: Path, num_replicas: int) -> ReplicasSample:
    """Serve the model alone and look at its replicas when all of them have read their weights."""
    version = VersionId(str(args["model"]), str(args.get("version", "1")))
    print(f"{num_replicas} replicas of {version}", flush=True)
    with running_serve(_config(version, args, folder, num_replicas), PORT, SETTINGS["stowage"], folder) as server:
        stored = open_store(str(args.get("store", DEFAULT_STORE))).get(version)
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            smallest_load(str(version), Task.GENERATE).send(server.base_url)
            pids = all_in_tree(server.pid, f"ray::ServeReplica:{version}:")
            seen = tuple(read_process_memory(stored.folder, Path(f"/proc/{pid}")) for pid in pids)
            if len(seen) == num_replicas and _have_read_their_weights(seen, stored):
                return ReplicasSample(str(version), stored.manifest.weight_bytes, seen)
            if time.monotonic() > give_up_at:
                raise StowageError(f"{len(seen)} replicas of {version}; not all have read their weights: {seen}")


def _have_read_their_weights(seen: tuple[ProcessMemory, ...], stored: StoredModel) -> bool:
    return all(each.mapped_bytes >= 0.98 * stored.manifest.weight_bytes for each in seen)


def _demo_args() -> dict[str, object]:
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    args: dict[str, object] = next(app["args"] for app in demo["applications"] if app["name"] == str(SMOLLM2))
    return args


def _config(version: VersionId, args: Mapping[str, object], folder: Path, num_replicas: int) -> Path:
    """The demonstration's router, and this model alone."""
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    router = next(app for app in demo["applications"] if app["name"] == "router")
    counts = {"min_replicas": num_replicas, "max_replicas": num_replicas, "num_cpus": 0.1, "task": "generate"}
    application = {
        "name": str(version),
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {**args, **counts, "limits": _LIMITS},
    }
    path = folder / f"{version.name}.yaml"
    path.write_text(yaml.safe_dump({"applications": [router, application]}), encoding="utf-8")
    return path


def replicas_table(full: ReplicasSample, empty: ReplicasSample) -> Table:
    """The two ratios of the claim."""
    count = len(full.replicas)
    allowed = full.weight_bytes + empty.total_bytes
    rows = [
        ("one copy of the weights", _mib(full.weight_bytes), ""),
        (f"weights of {count} replicas, PSS", _mib(full.weights_share_bytes), _ratio(full, full.weight_bytes)),
        (f"{count} empty replicas, PSS", _mib(empty.total_bytes), ""),
        (f"{count} replicas, PSS", _mib(full.total_bytes), f"{full.total_bytes / allowed:.3f}"),
        (f"{count} replicas if nothing were shared", _mib(allowed + (count - 1) * full.weight_bytes), ""),
    ]
    headers = (f"{full.model}", "MiB", "measured / (weights + empty replicas)")
    return Table("Weights held once", headers, tuple(rows))


def _ratio(full: ReplicasSample, weight_bytes: int) -> str:
    return f"{full.weights_share_bytes / weight_bytes:.3f} (of the weights alone)"


def attach_table(samples: list[AttachSample]) -> Table:
    """Medians."""
    rows = [
        ("import torch and transformers", _ms(median(each.import_s for each in samples))),
        ("map the files and have every tensor", _ms(median(each.map_s for each in samples))),
        ("the engine's whole load, that included", _ms(median(each.load_s for each in samples))),
        ("read every weight once", _ms(median(each.touch_s for each in samples))),
    ]
    return Table(f"Attach in a new process, median of {len(samples)}", ("step", "ms"), tuple(rows))


def import_table(sample: ImportSample) -> Table:
    """What is held at most beside the libraries."""
    rows = [
        ("weights in the source, float32", _mib(sample.stored_bytes)),
        (f"weights in the store, {sample.dtype}", _mib(sample.weight_bytes)),
        ("largest tensor", _mib(sample.largest_tensor_bytes)),
        ("process before the import, PSS", _mib(sample.before_bytes)),
        ("process at its peak, PSS", _mib(sample.peak_bytes)),
        ("difference", _mib(sample.peak_bytes - sample.before_bytes)),
    ]
    return Table(f"An import that casts, {sample.duration_s:.0f} s", ("", "MiB"), tuple(rows))


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / MIB:.0f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


def main() -> None:
    """Run it and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(args.replicas), args.results)


if __name__ == "__main__":
    main()
