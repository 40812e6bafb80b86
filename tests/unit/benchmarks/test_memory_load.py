from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.memory_load import full_load
from models.manifest import ArchitectureFacts, EmbeddingFacts, Manifest
from models.memory.plan import ANY_CPU, MemoryPlan
from models.types import Task, VersionId, WeightFormat

LLAMA = ArchitectureFacts(
    model_type="llama",
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=4,
    vocab_size=100,
)
PLAN = MemoryPlan(
    id=VersionId("tiny", "1"),
    engine="transformers",
    device=ANY_CPU,
    terms=(),
    host_terms=(),
    budget_bytes=0,
    max_model_len=64,
    max_num_seqs=3,
    max_batch_tokens=512,
    max_batch_size=32,
    page_size=4,
    num_kv_pages=48,
)


def manifest(task: Task) -> Manifest:
    return Manifest(
        name="tiny",
        version="1",
        source="file:tiny",
        format=WeightFormat.SAFETENSORS,
        task=task,
        files=(),
        dtype="float32",
        num_parameters=1,
        weight_bytes=4,
        architecture=LLAMA,
        embedding=EmbeddingFacts(dimension=8, max_tokens=64),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_generation_fills_every_sequence_and_shares_no_page() -> None:
    bodies = full_load(manifest(Task.GENERATE), PLAN, max_batch_size=32).bodies
    prompts = [body["prompt"] for body in bodies]
    assert len(prompts) == PLAN.max_num_seqs
    for body, prompt in zip(bodies, prompts, strict=True):
        assert isinstance(prompt, list)
        assert isinstance(body["max_tokens"], int)
        assert len(prompt) + body["max_tokens"] == PLAN.max_model_len
        assert set(prompt) <= set(range(LLAMA.vocab_size))
    assert len({str(prompt[: PLAN.page_size]) for prompt in prompts if isinstance(prompt, list)}) == len(prompts)


def test_embedding_sends_full_batches_of_full_inputs() -> None:
    load = full_load(manifest(Task.EMBED), PLAN, max_batch_size=5)
    inputs = load.bodies[0]["input"]
    assert isinstance(inputs, list)
    assert [len(text.split()) for text in inputs] == [PLAN.max_model_len - 2] * 5
