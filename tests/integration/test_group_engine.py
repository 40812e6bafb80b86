"""Groups of real processes against the whole model in this one: the same tokens, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig

from models.engines.base import EngineSettings
from models.engines.embedding import TransformersEmbeddingEngine
from models.engines.group import GroupEngine
from models.engines.group_embedding import GroupEmbeddingEngine
from models.engines.pooling import Vectors
from models.engines.transformers import TransformersEngine
from models.errors import ConfigError, EngineError, GroupError
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.parallel.batching import GroupBatching
from models.parallel.layout import Degree, GroupLayout
from models.progress import NoProgress
from models.types import (
    ChatMessage,
    Conversation,
    EngineStats,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    Task,
    WeightFormat,
)
from tests.integration.generation_work import (
    NUM_PROMPTS,
    NUM_STREAMS,
    WORDS,
    Answer,
    answer,
    answers,
    requests,
    until_idle,
)
from tests.integration.rank_group import Ended, Files, Led, run_group
from tests.integration.test_import_demo import SMOLLM2
from tests.unit.models.engines import models_for_tests as small
from tests.unit.models.engines.tiny_llama import tiny_tokenizer
from tests.unit.models.parallel.families import build, config_of, store

SMOLLM2_SETTINGS = EngineSettings(
    max_model_len=256, max_num_seqs=8, max_batch_tokens=64, page_size=16, num_kv_pages=160
)
# Of the 8 sequences that run at once, not all have room for their last pages.
SMALL_SETTINGS = EngineSettings(
    max_model_len=512, max_num_seqs=8, max_batch_tokens=48, page_size=8, num_kv_pages=60
)


async def beats(led: Led, request: GenerationRequest) -> int:
    """How often the leader's rank advanced for this request."""
    before = led.pulse.snapshot().count
    await answer(led.engine, request, asyncio.Semaphore())
    await until_idle(led.engine)
    return led.pulse.snapshot().count - before


@dataclass(frozen=True)
class Used:
    """``beats`` are for a long prompt that came for the first and for the second time; ``most_batches`` were under
    way at once."""

    found: list[Answer]
    beats: list[int]
    most_batches: int


async def count_batches(batching: GroupBatching, counts: set[int]) -> None:
    """Until it is cancelled."""
    while True:
        counts.add(len(batching._under_way))
        await asyncio.sleep(0.002)


async def use(led: Led, max_tokens: int) -> Used:
    assert isinstance(led.engine, GroupEngine)
    assert isinstance(led.engine._manager, GroupBatching)
    num_batches: set[int] = set()
    counting = asyncio.create_task(count_batches(led.engine._manager, num_batches))
    found = await answers(led.engine, max_tokens)
    counting.cancel()
    await until_idle(led.engine)
    assert led.engine._links.num_under_way <= 8 * (len(led.pids) - 1)  # of some hundred messages
    long = Conversation((ChatMessage("user", " ".join(reversed(WORDS * 5))),))
    greedy = SamplingParams(temperature=0, max_tokens=2)
    counts = [await beats(led, GenerationRequest(f"long {number}", long, greedy)) for number in range(2)]
    return Used(found, counts, max(num_batches))


def use_smollm2(led: Led) -> Used:
    return asyncio.run(use(led, 8))


def use_small(led: Led) -> Used:
    return asyncio.run(use(led, 8))


def alone(files: Files, max_tokens: int) -> list[Answer]:
    """By the whole model in this process."""
    engine = TransformersEngine(files.folder, files.manifest, files.settings)
    try:
        return asyncio.run(answers(engine, max_tokens))
    finally:
        engine.close()


def check_answers(ended: Ended, expected: list[Answer], num_stages: int) -> None:
    assert ended.error is None
    found = ended.value.found
    assert ended.value.most_batches == num_stages
    assert found == expected
    assert len({each.text for each in found}) > NUM_PROMPTS // 2
    assert {each.reason for each in found} == {FinishReason.STOP, FinishReason.LENGTH}
    assert set(ended.exit_codes) == {0}
    assert {pulse.doing for pulse in ended.followers.values()} == {"waits for a step"}
    assert all(pulse.count > 100 for pulse in ended.followers.values())


@pytest.fixture(scope="module")
def smollm2(store_folder: Path) -> Files:
    stored = import_model(SMOLLM2, LocalStore(store_folder), NoProgress())
    return Files(stored.folder, stored.manifest, SMOLLM2_SETTINGS)


@pytest.fixture(scope="module")
def smollm2_alone(smollm2: Files) -> list[Answer]:
    return alone(smollm2, 8)


@pytest.mark.parametrize(
    "layout",
    [GroupLayout(Degree(3, 1), (30,)), GroupLayout(Degree(1, 2), (13, 30))],
    ids=["tensor 3", "pipeline 2"],
)
def test_a_group_answers_as_one_process(smollm2: Files, smollm2_alone: list[Answer], layout: GroupLayout) -> None:
    ended = run_group(smollm2, layout, use_smollm2)
    check_answers(ended, smollm2_alone, layout.degree.pipeline)
    first, second = ended.value.beats
    assert second < first


def write_small(folder: Path, family: str, **sizes: object) -> Files:
    """A model with a tokenizer whose vocabulary three ranks can divide."""
    tiny_tokenizer().save_pretrained(folder)
    config = config_of(family, vocab_size=402, max_position_embeddings=512, **sizes)
    return Files(folder, store(build(config), folder), SMALL_SETTINGS)


def write_gemma(folder: Path, num_layers: int) -> Files:
    """Every second layer sees but the last tokens."""
    kinds = ["sliding_attention", "full_attention"] * (num_layers // 2)
    return write_small(folder, "gemma3_text", num_hidden_layers=num_layers, layer_types=kinds, sliding_window=20)


def test_tensor_and_pipeline_together_answer_as_one_process(tmp_path: Path) -> None:
    """With stages of different size, and so few pages that requests have to make way."""
    files = write_small(tmp_path, "llama")
    ended = run_group(files, GroupLayout(Degree(3, 2), (1, 4)), use_small)
    check_answers(ended, alone(files, 8), num_stages=2)


def use_gemma_until_a_rank_is_gone(led: Led) -> tuple[list[Answer], list[str]]:
    return asyncio.run(use_until_a_rank_is_gone(led))


async def use_until_a_rank_is_gone(led: Led) -> tuple[list[Answer], list[str]]:
    """The answers; then, of requests during which the other rank is killed, the errors that they get."""
    engine: GroupEngine = led.engine
    found = await answers(engine, 8)
    await until_idle(engine)
    gate = asyncio.Semaphore(NUM_STREAMS)
    works = [asyncio.create_task(answer(engine, request, gate)) for request in requests(200)[:NUM_STREAMS]]
    async with asyncio.timeout(60):
        while not is_busy_with(engine.stats(), NUM_STREAMS):  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
    os.kill(led.pids[1], signal.SIGKILL)
    async with asyncio.timeout(60):
        errors = await asyncio.gather(*works, return_exceptions=True)
    await until_check_fails(engine)
    return found, [f"{type(error).__name__}: {error}" for error in errors]


def is_busy_with(stats: EngineStats, num_requests: int) -> bool:
    """Whether it has them all, and works: what comes to an engine that has ended is refused in other words."""
    return stats.num_running > 0 and stats.num_running + stats.num_waiting >= num_requests


async def until_check_fails(engine: GroupEngine) -> None:
    """The loop tells its requests first."""
    async with asyncio.timeout(60):
        while engine._manager.is_running():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
    with pytest.raises(EngineError, match="generation loop of tiny@1 has ended"):
        engine.check()


def test_pages_of_two_kinds_of_attention_and_a_rank_that_is_lost(tmp_path: Path) -> None:
    files = write_gemma(tmp_path, 6)
    ended = run_group(files, GroupLayout(Degree(1, 2), (2, 6)), use_gemma_until_a_rank_is_gone)
    assert ended.value is not None, ended.error
    found, errors = ended.value
    assert found == alone(files, 8)
    assert len({each.text for each in found}) > NUM_STREAMS
    assert len(errors) == NUM_STREAMS
    assert all(error.startswith("EngineError: generation with tiny@1 failed: ") for error in errors)
    assert isinstance(ended.error, GroupError)  # nobody is left to be dismissed
    assert "have not heard within" in str(ended.error)
    assert ended.exit_codes == [0, -signal.SIGKILL]


def test_stages_with_another_mix_of_attention_are_refused(tmp_path: Path) -> None:
    ended = run_group(write_gemma(tmp_path, 4), GroupLayout(Degree(1, 2), (1, 4)), use_small)
    assert isinstance(ended.error, ConfigError)
    assert "KV pages of the group's ranks do not correspond" in str(ended.error)
    assert ended.exit_codes == [0, 0]


TEXTS = [" ".join(WORDS[start : start + length]) for start in range(8) for length in (1, 2, 4)]
EMBEDDING_SETTINGS = EngineSettings(max_model_len=16, max_batch_size=7)


def embed(led: Led) -> list[Vectors]:
    """All at once from several threads, then one alone."""
    engine = led.engine
    assert isinstance(engine, GroupEmbeddingEngine)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: engine.embed(TEXTS[number::4]).vectors, range(4)))
    engine.abort("the test wants it")
    with pytest.raises(GroupError, match="the test wants it"):
        engine.embed(TEXTS)
    with pytest.raises(GroupError, match="the test wants it"):
        engine.check()
    return found


def test_an_encoder_over_two_stages_embeds_as_one_process(tmp_path: Path) -> None:
    small.write_tokenizer(tmp_path)
    config = BertConfig(
        vocab_size=400,
        hidden_size=small.DIMENSION,
        intermediate_size=16,
        num_hidden_layers=5,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    build(config).save_pretrained(tmp_path)
    manifest = small.manifest_of(tmp_path, WeightFormat.SAFETENSORS, Task.EMBED)
    ended = run_group(Files(tmp_path, manifest, EMBEDDING_SETTINGS), GroupLayout(Degree(1, 2), (2, 5)), embed)
    assert ended.error is None
    assert ended.exit_codes == [0, 0]
    engine = TransformersEmbeddingEngine(tmp_path, manifest, EMBEDDING_SETTINGS)
    expected = [engine.embed(TEXTS[number::4]).vectors for number in range(4)]
    for vectors, wanted in zip(ended.value, expected, strict=True):
        np.testing.assert_allclose(vectors, wanted, atol=1e-6)
