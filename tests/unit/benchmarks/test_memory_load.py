from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchmarks.memory_load import Load, full_load
from models.errors import StowageError
from models.manifest import ArchitectureFacts, EmbeddingFacts, Manifest, TokenizerFacts
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
        tokenizer=TokenizerFacts(vocab_size=LLAMA.vocab_size),
        embedding=EmbeddingFacts(dimension=8, max_tokens=64),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_generation_fills_every_sequence_and_shares_no_page() -> None:
    plan = replace(PLAN, max_model_len=256)
    load = full_load(manifest(Task.GENERATE), plan, max_batch_size=32)
    prompts = [body["prompt"] for body in load.bodies]
    assert len(prompts) == plan.max_num_seqs
    for body, prompt in zip(load.bodies, prompts, strict=True):
        assert isinstance(prompt, list)
        assert body["max_tokens"] == load.num_new_tokens
        assert len(prompt) + load.num_new_tokens == plan.max_model_len
        assert set(prompt) <= set(range(LLAMA.vocab_size))
        assert prompt[:32] == prompt[64:96]
    assert len({str(prompt[: plan.page_size]) for prompt in prompts if isinstance(prompt, list)}) == len(prompts)


def test_embedding_sends_full_batches_of_full_inputs_with_the_whole_vocabulary() -> None:
    load = full_load(manifest(Task.EMBED), replace(PLAN, max_model_len=8), max_batch_size=5)
    tokens = set()
    for body in load.bodies:
        inputs = body["input"]
        assert isinstance(inputs, list)
        assert [len(each) for each in inputs] == [8] * 5
        tokens |= {token for each in inputs for token in each}
    assert len(load.bodies) == 3  # 100 tokens, 40 at a time
    assert tokens == set(range(LLAMA.vocab_size))


async def test_an_answer_that_ends_early_is_no_full_load() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        body = b'{"usage": {"prompt_tokens": 3, "completion_tokens": 6}}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.to_thread(Load("/x", [{}, {}], 6).send, url)
        with pytest.raises(StowageError, match=r"\[6, 6\] tokens: the load is 7 tokens each"):
            await asyncio.to_thread(Load("/x", [{}, {}], 7).send, url)
