"""Replicas on one node share the pages of their memory-mapped weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import MixtralConfig

from models.importing.importer import import_model
from models.local_store import LocalStore
from models.process_memory import read_process_memory
from models.progress import NoProgress
from models.spec import ModelSpec
from models.store import open_store
from models.types import VersionId
from tests.integration.cluster import ROOT, Cluster, end
from tests.unit.models.checkpoints import write_checkpoint
from tests.unit.models.tiny_models import write_tokenizer

MIB = 1024**2

LOADER = """
import sys
from pathlib import Path
from models.engines.base import EngineSettings
from models.engines.registry import create_engine
from models.store import open_store
from models.types import VersionId

stored = open_store(sys.argv[1]).get(VersionId.parse(sys.argv[2]))
settings = EngineSettings(max_model_len=64, num_kv_pages=16, page_size=32, max_num_seqs=1)
engine = create_engine("transformers", stored.folder, stored.manifest, settings)
weights = sum(float(tensor.double().abs().sum()) for tensor in engine._manager.model.parameters())
print("loaded", flush=True)
sys.stdin.readline()
engine.close()
"""


def test_two_engines_hold_one_copy_of_the_weights(cluster: Cluster, store_folder: Path) -> None:
    weight_bytes = open_store(str(store_folder)).get(VersionId("smollm2-135m", "1")).manifest.weight_bytes
    folder = store_folder / "smollm2-135m" / "1"
    with _loaded([sys.executable, "-c", LOADER, str(store_folder), "smollm2-135m@1"], count=2) as processes:
        seen = [read_process_memory(folder, Path(f"/proc/{process.pid}")) for process in processes]
    for each in seen:
        assert each.mapped_bytes > 0.9 * weight_bytes
        assert each.mapped_share_bytes < 0.6 * weight_bytes
        assert each.other_bytes < weight_bytes + 200 * MIB


CASTER = """
import sys
from pathlib import Path
from transformers import AutoModelForCausalLM
from models.engines.pretrained import load_pretrained
from models.store import open_store
from models.types import VersionId

stored = open_store(sys.argv[1]).get(VersionId.parse(sys.argv[2]))
model = load_pretrained(AutoModelForCausalLM, stored.folder, stored.manifest, "cpu")
weights = sum(float(tensor.double().abs().sum()) for tensor in model.parameters())
print("loaded", flush=True)
sys.stdin.readline()
"""


def test_weights_that_an_import_cast_and_merged_are_held_once(tmp_path: Path) -> None:
    """A mixture of experts in float32, asked for in bfloat16: transformers alone would copy every tensor of it."""
    config = MixtralConfig(
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=2,
        num_local_experts=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        vocab_size=4096,
    )
    source = write_checkpoint(tmp_path / "source", config, max_shard_size="60MB")
    write_tokenizer(source)
    store = LocalStore(tmp_path / "store")
    spec = ModelSpec(model="mixture", source=f"file:{source}", dtype="bfloat16")
    stored = import_model(spec, store, NoProgress())
    weight_bytes = stored.manifest.weight_bytes
    assert stored.manifest.shared_weight_bytes == weight_bytes > 50 * MIB
    with _loaded([sys.executable, "-c", CASTER, str(store.root), "mixture@1"], count=4) as processes:
        seen = [read_process_memory(stored.folder, Path(f"/proc/{process.pid}")) for process in processes]
    assert sum(each.mapped_share_bytes for each in seen) < 1.05 * weight_bytes
    assert min(each.mapped_bytes for each in seen) > 0.95 * weight_bytes


@contextmanager
def _loaded(command: list[str], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes that have said that they are loaded; they end when a line is written to them."""
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "loaded"
        yield processes
        for process in processes:
            process.communicate("\n", timeout=60)
    finally:
        end(processes)
