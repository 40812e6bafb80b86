"""Which models a pool warms up with."""

from __future__ import annotations

from deployments.pool_app import one_of_each_kind
from models.memory.plan import plan_memory
from models.spec import EngineName, Limits
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

LIMITS = Limits(max_model_len=64)


def test_the_smallest_of_each_engine_and_architecture() -> None:
    larger = MINILM.model_copy(update={"version": "2", "weight_bytes": 2 * MINILM.weight_bytes})
    manifests = [larger, SMOLLM2, MINILM, ADDER]
    engines: tuple[EngineName, ...] = ("embedding", "transformers", "embedding", "onnx")
    plans = [plan_memory(manifest, LIMITS, engine) for manifest, engine in zip(manifests, engines, strict=True)]
    assert one_of_each_kind(manifests, plans) == (MINILM.id, SMOLLM2.id, ADDER.id)
