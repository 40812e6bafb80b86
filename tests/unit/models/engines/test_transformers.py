"""Generation with a real model: the same tokens as ``model.generate``, whatever else is in the batch."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.generation.continuous_batching import cache, utils

from models.engines.base import EngineSettings, GenerationEngine
from models.engines.transformers import TransformersEngine
from models.errors import ConfigError, ContextLengthError, EngineError, InvalidRequestError
from models.memory.plan import plan_memory
from models.spec import Limits
from models.types import (
    ChatMessage,
    Conversation,
    EngineStats,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    Prompt,
    SamplingParams,
)
from tests.unit.models.engines.tiny_llama import Reference, Result, TinyLlama, write_tiny_llama

LIMITS = Limits(max_model_len=256, max_num_seqs=4, max_batch_tokens=64, page_size=8)
GREEDY = SamplingParams(temperature=0, max_tokens=30)
ENDLESS = "Hello " * 12, SamplingParams(seed=3)  # no end token comes before the context is full
PROMPTS = ["The quick", "naïve café", "def f(x):", "你好世界", "Hello " * 12, "a", "😀", "over the lazy dog, and"]
CONVERSATION = Conversation((ChatMessage("user", "Hello"),))
SOON_S = 5.0

_ids = itertools.count()


def settings(tiny: TinyLlama) -> EngineSettings:
    plan = plan_memory(tiny.manifest, LIMITS, "transformers")
    return EngineSettings(
        max_model_len=plan.max_model_len,
        max_num_seqs=plan.max_num_seqs,
        max_batch_tokens=LIMITS.max_batch_tokens,
        page_size=plan.page_size,
        num_kv_pages=plan.num_kv_pages,
        keeps_heap=True,
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return write_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="module")
def reference(tiny: TinyLlama) -> Reference:
    return Reference(tiny)


@pytest.fixture(scope="module")
def engine(tiny: TinyLlama) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(tiny.folder, tiny.manifest, settings(tiny))
    yield engine
    engine.close()


@pytest.fixture
def doomed(tiny: TinyLlama) -> Iterator[TransformersEngine]:
    """An engine of its own for a test that breaks it."""
    engine = TransformersEngine(tiny.folder, tiny.manifest, settings(tiny))
    yield engine
    engine.close()


def start(engine: TransformersEngine, prompt: Prompt, sampling: SamplingParams) -> AsyncGenerator[GenerationChunk]:
    return engine.generate(GenerationRequest(f"request-{next(_ids)}", prompt, sampling))


async def generate(engine: TransformersEngine, prompt: Prompt, sampling: SamplingParams) -> Result:
    chunks = [chunk async for chunk in start(engine, prompt, sampling)]
    assert all((chunk.finish_reason, chunk.usage) == (None, None) and chunk.text for chunk in chunks[:-1])
    return Result("".join(chunk.text for chunk in chunks), chunks[-1].finish_reason, chunks[-1].usage)


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; TimeoutError when that does not come soon."""
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110  the engine's thread tells nobody
            await asyncio.sleep(0.001)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slow_down(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    """Each step takes so much longer: or all may be generated before the test looks."""
    step = engine._manager._generation_step

    def slowly(*arguments: object) -> None:
        time.sleep(step_s)
        step(*arguments)

    monkeypatch.setattr(engine._manager, "_generation_step", slowly)


async def idle(engine: TransformersEngine) -> None:
    """Return when nothing runs or waits, and no page is held."""
    nothing = EngineStats(num_kv_pages=engine.stats().num_kv_pages)
    await until(lambda: engine.stats() == nothing)


def test_it_generates(engine: TransformersEngine) -> None:
    assert isinstance(engine, GenerationEngine)
    engine.check()


@pytest.mark.skipif(sys.platform != "linux", reason="measured through /proc, and about glibc")
async def test_memory_that_was_freed_goes_back_when_the_last_request_has_ended(engine: TransformersEngine) -> None:
    blocks = [bytearray(b"x") * (100 << 10) for _ in range(1000)]
    del blocks[::2]  # 50 MB between others that stay
    before = resident_bytes()
    await asyncio.gather(*(generate(engine, prompt, GREEDY) for prompt in PROMPTS[:2]))
    await until(lambda: before - resident_bytes() > 40 << 20)


async def test_greedy_equals_generate_with_more_prompts_than_places(
    engine: TransformersEngine, reference: Reference
) -> None:
    prompts: list[Prompt] = [*PROMPTS, CONVERSATION, (5, 6, 7, 8)]
    results = await asyncio.gather(*(generate(engine, prompt, GREEDY) for prompt in prompts))
    assert results == [reference.greedy(prompt, 30) for prompt in prompts]


@pytest.mark.parametrize("max_tokens", [1, 2, 17])
async def test_max_tokens_ends_a_generation(engine: TransformersEngine, max_tokens: int) -> None:
    result = await generate(engine, "The quick", replace(GREEDY, max_tokens=max_tokens))
    assert result.finish_reason is FinishReason.LENGTH
    assert result.usage is not None
    assert result.usage.completion_tokens == max_tokens


async def test_an_end_token_ends_a_generation_and_is_not_shown(
    engine: TransformersEngine, tiny: TinyLlama, reference: Reference
) -> None:
    result = await generate(engine, tiny.ending_prompt, GREEDY)
    assert result.finish_reason is FinishReason.STOP
    assert result == reference.greedy(tiny.ending_prompt, 30)


async def test_full_sequences_fit_all_at_once(engine: TransformersEngine, reference: Reference) -> None:
    """The plan's pages are enough for every place at its full length; prompts are longer than one step."""
    prompts = [tuple((13 * first + place) % 390 + 1 for place in range(250)) for first in range(4)]
    to_the_end = SamplingParams(temperature=0)
    results = await asyncio.gather(*(generate(engine, prompt, to_the_end) for prompt in prompts))
    assert results == [reference.greedy(prompt, 6) for prompt in prompts]
    assert max(result.usage.total_tokens for result in results if result.usage) == LIMITS.max_model_len


async def test_a_stop_string_ends_a_generation_before_it(engine: TransformersEngine, reference: Reference) -> None:
    text = reference.greedy("The quick", 30).text
    stop = text[len(text) // 2 :][:3]
    result = await generate(engine, "The quick", replace(GREEDY, stop=("never seen", stop)))
    assert (result.text, result.finish_reason) == (text[: text.index(stop)], FinishReason.STOP)
    assert result.usage is not None
    assert result.usage.completion_tokens < 30
    await idle(engine)


async def test_a_seed_gives_the_same_text_alone_and_in_a_crowd(engine: TransformersEngine) -> None:
    seeded = SamplingParams(max_tokens=30, seed=7, top_p=0.9, top_k=50)
    crowd = [SamplingParams(max_tokens=20 + seed, seed=seed, top_p=0.5, temperature=1.5) for seed in range(6)]
    alone = await generate(engine, "The quick", seeded)
    crowded, *_ = await asyncio.gather(
        generate(engine, "The quick", seeded),
        *(generate(engine, prompt, sampling) for prompt, sampling in zip(PROMPTS, crowd, strict=False)),
        *(generate(engine, prompt, GREEDY) for prompt in PROMPTS[:2]),
    )
    assert crowded == alone


async def test_other_seeds_and_no_seed_give_other_texts(engine: TransformersEngine) -> None:
    samplings = [SamplingParams(max_tokens=20, seed=seed) for seed in (0, 1, 2, None, None)]
    results = await asyncio.gather(*(generate(engine, "The quick", sampling) for sampling in samplings))
    assert len({result.text for result in results}) == len(samplings)


async def test_a_request_that_can_never_be_served_is_refused_before_it_starts(engine: TransformersEngine) -> None:
    with pytest.raises(ContextLengthError, match="max_tokens 256 exceed"):
        await generate(engine, "a", SamplingParams(max_tokens=256))
    with pytest.raises(ContextLengthError, match="the prompt has 256 tokens"):
        await generate(engine, (1,) * 256, GREEDY)
    with pytest.raises(InvalidRequestError, match="outside the vocabulary"):
        await generate(engine, (10**6,), GREEDY)
    with pytest.raises(InvalidRequestError, match="stop string is empty"):
        await generate(engine, "a", replace(GREEDY, stop=("",)))
    await idle(engine)


async def test_closing_the_generator_cancels_at_the_next_step_and_frees_its_pages(
    engine: TransformersEngine,
) -> None:
    chunks = start(engine, *ENDLESS)
    await anext(chunks)
    running = engine.stats()
    assert (running.num_running, running.num_kv_pages) == (1, 128)
    assert running.num_kv_pages_used >= 9  # for the 72 tokens of the prompt
    await chunks.aclose()
    num_steps = engine._manager.current_batch
    await idle(engine)
    assert engine._manager.current_batch - num_steps <= 2  # one under way, and one begun before the loop looked
    assert engine._manager.output_router.result_handlers == {}


async def test_cancelling_the_reader_cancels_what_runs_and_what_waits(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(engine, monkeypatch, 0.02)
    readers = [asyncio.create_task(generate(engine, "abc", SamplingParams(seed=seed))) for seed in range(8)]
    await until(lambda: engine.stats().num_waiting > 0 and engine.stats().num_running > 0)
    num_steps = engine._manager.current_batch
    for reader in readers:
        reader.cancel()
    ends = await asyncio.gather(*readers, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    await idle(engine)
    assert engine._manager.current_batch - num_steps < 20  # there were hundreds to go


async def test_a_shared_prefix_is_held_once(
    engine: TransformersEngine, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(engine, monkeypatch, 0.02)
    prefix = tuple(range(1, 97))  # twelve pages
    async with aclosing(start(engine, (*prefix, 100), SamplingParams(seed=1))) as first:
        await anext(first)
        async with aclosing(start(engine, (*prefix, 200), SamplingParams(seed=2))) as second:
            await anext(second)
            assert engine.stats().num_running == 2
            assert 12 < engine.stats().num_kv_pages_used < 24
        shared = await generate(engine, (*prefix, 201), replace(GREEDY, max_tokens=20))
    assert shared == reference.greedy((*prefix, 201), 20)
    await idle(engine)


def test_the_cache_has_the_planned_bytes(engine: TransformersEngine, tiny: TinyLlama) -> None:
    plan = plan_memory(tiny.manifest, LIMITS, "transformers")
    processor = engine._manager.batch_processor
    assert processor is not None
    assert processor.cache.cache_tensor.nbytes == plan.term("kv_cache").bytes
    assert engine.stats().num_kv_pages == plan.num_kv_pages


def test_the_plan_may_take_the_whole_device(tiny: TinyLlama, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_memory(tiny.manifest, LIMITS, "transformers")
    free_bytes = sum(plan.term(name).bytes for name in ("kv_cache", "attention", "activations", "logits"))
    found = torch.device("cpu"), free_bytes, 0, 0
    monkeypatch.setattr(cache, "get_device_and_memory_breakdown", lambda: found)
    engine = TransformersEngine(tiny.folder, tiny.manifest, settings(tiny))
    engine.close()


def test_engines_after_the_first_do_not_walk_the_page_tables(
    engine: TransformersEngine, tiny: TinyLlama, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def note(path: str, **_: str) -> io.StringIO:
        opened.append(path)
        return io.StringIO()

    monkeypatch.setattr(utils, "open", note, raising=False)
    TransformersEngine(tiny.folder, tiny.manifest, settings(tiny)).close()
    assert "/proc/self/numa_maps" not in opened


async def test_when_the_loop_dies_requests_fail_and_the_check_says_so(
    doomed: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of order")

    chunks = start(doomed, *ENDLESS)
    await anext(chunks)
    monkeypatch.setattr(doomed._manager, "_generation_step", fail)
    with pytest.raises(EngineError, match="generation with tiny@1 failed: out of order"):
        async for _ in chunks:
            pass
    await until(lambda: not doomed._manager.is_running())
    with pytest.raises(EngineError, match="loop of tiny@1 has ended: out of order"):
        doomed.check()
    with pytest.raises(EngineError, match="accepts no requests"):
        await generate(doomed, "abc", GREEDY)


async def test_closing_the_engine_fails_what_runs_and_can_be_repeated(
    doomed: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(doomed, monkeypatch, 0.1)
    chunks = start(doomed, *ENDLESS)
    await anext(chunks)
    doomed.close()
    doomed.close()
    with pytest.raises(EngineError, match="tiny@1 failed"):
        async for _ in chunks:
            pass
    with pytest.raises(EngineError, match="has ended"):
        doomed.check()
    with pytest.raises(EngineError, match="accepts no requests"):
        await generate(doomed, "abc", GREEDY)
    assert (doomed.stats().num_running, doomed.stats().num_kv_pages_used) == (0, 0)


def test_missing_weights_are_refused(tiny: TinyLlama, tmp_path: Path) -> None:
    shutil.copytree(tiny.folder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tiny.folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.1.mlp" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"3 weights are missing.*layers\.1\.mlp"):
        TransformersEngine(tmp_path, tiny.manifest, settings(tiny))
