"""Which models a pool warms up with."""

from __future__ import annotations

from deployments.pool.warm_up import plan_warm_up
from models.manifest import FileEntry, Manifest
from models.memory.plan import plan_memory
from models.spec import EngineName, Limits
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

LIMITS = Limits(max_model_len=64)
ENGINES: dict[str, EngineName] = {"minilm": "embedding", "smollm2-135m": "transformers", "adder": "onnx"}


def variant(manifest: Manifest, version: str, **sha256: str) -> Manifest:
    """Another version whose files differ as told: name and first letter of its checksum."""
    files = [FileEntry(path=f"{name}.json", size_bytes=1, sha256=letter * 64) for name, letter in sha256.items()]
    return manifest.model_copy(update={"version": version, "files": (*manifest.files, *files)})


def warm_up(*manifests: Manifest) -> tuple[list[str], list[str]]:
    plans = [plan_memory(manifest, LIMITS, ENGINES[manifest.name]) for manifest in manifests]
    planned = plan_warm_up(manifests, plans)
    return list(map(str, planned.kinds)), list(map(str, planned.variants))


def test_the_smallest_of_each_engine_and_architecture() -> None:
    larger = MINILM.model_copy(update={"version": "2", "weight_bytes": 2 * MINILM.weight_bytes})
    kinds, variants = warm_up(larger, SMOLLM2, MINILM, ADDER)
    assert kinds == variants == ["minilm@1", "smollm2-135m@1", "adder@1"]


def test_each_configuration_and_each_tokenizer_is_a_variant() -> None:
    first = variant(MINILM, "1", config="a", tokenizer="a")
    tuned = variant(MINILM, "2", config="a", tokenizer="a", modules="b")
    deeper = variant(MINILM, "3", config="b", tokenizer="a")
    translated = variant(MINILM, "4", config="a", tokenizer="b")
    assert warm_up(first, tuned, deeper, translated) == (["minilm@1"], ["minilm@1", "minilm@3", "minilm@4"])
