"""Requests with a grammar beside requests without, in one engine with a real model."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from models.engines import continuous as engines
from models.engines.base import EngineSettings
from models.engines.grammar import Constraint
from models.engines.transformers import TransformersEngine
from models.errors import InvalidRequestError, UnsupportedOptionError
from models.tools import ToolFunction, Tools
from models.types import (
    ChatMessage,
    Conversation,
    FinishReason,
    GenerationRequest,
    Grammar,
    GrammarKind,
    Prompt,
    SamplingParams,
)
from tests.unit.models.engines.tiny_llama import Reference, Result, TinyLlama, write_tiny_llama
from tests.unit.models.engines.tokenizers_for_tests import byte_level, id_of
from tests.unit.models.engines.tool_template import TOOL_TEMPLATE

DIGITS = Grammar(GrammarKind.REGEX, "([0-9]{3}-){4}[0-9]", "structured_outputs.regex")
LETTERS = Grammar(GrammarKind.REGEX, "[a-z]{150}", "structured_outputs.regex")
HEAVY = Grammar(GrammarKind.REGEX, "(.*a.{200}b.*|.*c.{300}d.*|.*e.{100}f.*)Z{300}", "structured_outputs.regex")
GREEDY = SamplingParams(temperature=0, max_tokens=30)
FREE_PROMPTS = ("The quick", "def f(x):", "a")
TOOLS = Tools((ToolFunction("depth", '{"type": "object", "additionalProperties": false}'),), required=True)
QUESTION = (ChatMessage("user", "How deep?"),)

_ids = itertools.count()


def settings(num_kv_pages: int = 128) -> EngineSettings:
    return EngineSettings(
        max_model_len=512, max_num_seqs=4, max_batch_tokens=64, page_size=8, num_kv_pages=num_kv_pages
    )


@pytest.fixture(scope="module")
def with_text_that_ends(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return write_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="module")
def tiny(with_text_that_ends: TinyLlama, tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    """The same model, ended by its special token alone."""
    folder = tmp_path_factory.mktemp("ended")
    shutil.copytree(with_text_that_ends.folder, folder, dirs_exist_ok=True)
    path = folder / "generation_config.json"
    config = json.loads(path.read_text())
    eos_id = id_of(byte_level())
    path.write_text(json.dumps(config | {"eos_token_id": eos_id}))
    return replace(with_text_that_ends, folder=folder, end_ids=frozenset({eos_id}))


@pytest.fixture(scope="module")
def engine(tiny: TinyLlama) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(tiny.folder, tiny.manifest, settings())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def tool_engine(tiny: TinyLlama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersEngine]:
    """The same model with a chat template that knows tools."""
    folder = tmp_path_factory.mktemp("tools")
    for file in tiny.folder.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.jinja").write_text(TOOL_TEMPLATE)
    engine = TransformersEngine(folder, tiny.manifest, settings())
    yield engine
    engine.close()


def request(prompt: Prompt, sampling: SamplingParams, grammar: Grammar | None = None) -> GenerationRequest:
    return GenerationRequest(f"request-{next(_ids)}", prompt, sampling, grammar)


async def generate(engine: TransformersEngine, asked: GenerationRequest) -> Result:
    chunks = [chunk async for chunk in engine.generate(asked)]
    usage = chunks[-1].usage
    assert usage is not None
    assert sum(chunk.num_tokens for chunk in chunks) == usage.completion_tokens
    return Result("".join(chunk.text for chunk in chunks), chunks[-1].finish_reason, usage)


def num_followed() -> int:
    gc.collect()
    return sum(type(each) is Constraint for each in gc.get_objects())


async def test_each_follows_its_own_and_the_others_are_not_touched(
    engine: TransformersEngine, tiny: TinyLlama
) -> None:
    sampling = SamplingParams(max_tokens=60)
    free = [request(prompt, GREEDY) for prompt in FREE_PROMPTS]
    kept = [request(prompt, sampling, DIGITS) for prompt in FREE_PROMPTS]
    results = await asyncio.gather(
        *(generate(engine, each) for pair in zip(free, kept, strict=True) for each in pair)
    )
    reference = Reference(tiny)
    assert results[::2] == [reference.greedy(prompt, 30) for prompt in FREE_PROMPTS]
    assert all(re.fullmatch(DIGITS.text, result.text) for result in results[1::2])
    assert {result.finish_reason for result in results[1::2]} == {FinishReason.STOP}


async def test_a_token_limit_comes_before_the_end_of_the_grammar(engine: TransformersEngine) -> None:
    result = await generate(engine, request("a", SamplingParams(max_tokens=5), LETTERS))
    assert result.finish_reason is FinishReason.LENGTH
    assert re.fullmatch("[a-z]+", result.text)


async def test_a_seed_repeats_a_text_that_follows_a_grammar(engine: TransformersEngine) -> None:
    seeded = SamplingParams(seed=5, max_tokens=60)
    alone = await generate(engine, request("a", seeded, DIGITS))
    crowd = (generate(engine, request(prompt, SamplingParams(max_tokens=60), DIGITS)) for prompt in FREE_PROMPTS)
    crowded, *_ = await asyncio.gather(generate(engine, request("a", seeded, DIGITS)), *crowd)
    assert crowded == alone


async def test_a_request_that_is_evicted_follows_its_grammar_to_the_end(tiny: TinyLlama) -> None:
    """Half of the pages that four whole texts take."""
    small = TransformersEngine(tiny.folder, tiny.manifest, settings(num_kv_pages=44))
    try:
        asked = [request("ab" * place, SamplingParams(max_tokens=200), LETTERS) for place in range(1, 5)]
        results = await asyncio.gather(*(generate(small, each) for each in asked))
    finally:
        small.close()
    assert all(re.fullmatch(LETTERS.text, result.text) for result in results)


async def test_a_cancelled_request_is_followed_no_more(engine: TransformersEngine) -> None:
    endless = Grammar(GrammarKind.REGEX, "[a-z]+", "structured_outputs.regex")
    await generate(engine, request("a", GREEDY))  # the loop keeps what the last batch was made of
    before = num_followed()
    asked = request("a", SamplingParams(temperature=0, max_tokens=240), endless)
    async with aclosing(engine.generate(asked)) as chunks:
        await anext(chunks)
        assert num_followed() == before + 1
    await generate(engine, request("a", GREEDY))
    assert num_followed() == before


async def test_a_grammar_that_takes_too_much_is_an_error_and_not_an_answer(engine: TransformersEngine) -> None:
    heavy, free = request("a", SamplingParams(seed=1), HEAVY), request("The quick", GREEDY)
    failed, answered = await asyncio.gather(
        generate(engine, heavy), generate(engine, free), return_exceptions=True
    )
    assert isinstance(failed, InvalidRequestError)
    assert failed.param == HEAVY.param
    assert isinstance(answered, Result)


async def test_what_cannot_be_followed_is_refused_before_anything_runs(engine: TransformersEngine) -> None:
    malformed = Grammar(GrammarKind.JSON_SCHEMA, '{"type": "foo"}', "response_format")
    with pytest.raises(InvalidRequestError, match="response_format cannot be followed: Invalid type: foo"):
        await generate(engine, request("a", GREEDY, malformed))
    assert engine.stats().num_running == 0


async def test_required_calls_come_as_pieces(tool_engine: TransformersEngine) -> None:
    asked = request(Conversation(QUESTION, TOOLS), SamplingParams(max_tokens=100, seed=3))
    chunks = [chunk async for chunk in tool_engine.generate(asked)]
    parts = [part for chunk in chunks for part in chunk.tool_calls]
    assert parts[0].name == "depth"
    assert "".join(chunk.text for chunk in chunks) == ""
    assert json.loads("".join(part.arguments for part in parts if part.index == 0)) == {}
    assert chunks[-1].finish_reason in (FinishReason.TOOL_CALLS, FinishReason.LENGTH)


async def test_calls_and_a_form_exclude_each_other(tool_engine: TransformersEngine) -> None:
    with pytest.raises(UnsupportedOptionError, match="regex and tools"):
        await generate(tool_engine, request(Conversation(QUESTION, TOOLS), GREEDY, DIGITS))


async def test_a_token_that_is_text_and_an_end_could_end_too_soon(with_text_that_ends: TinyLlama) -> None:
    engine = TransformersEngine(with_text_that_ends.folder, with_text_that_ends.manifest, settings())
    try:
        with pytest.raises(UnsupportedOptionError, match="is text as well"):
            await generate(engine, request("a", GREEDY, DIGITS))
    finally:
        engine.close()


async def test_a_model_without_tools_is_not_given_any(engine: TransformersEngine) -> None:
    with pytest.raises(UnsupportedOptionError, match="chat template has no tools"):
        await generate(engine, request(Conversation(QUESTION, TOOLS), GREEDY))


@pytest.mark.parametrize(
    ("config", "ahead"),
    [
        (ContinuousBatchingConfig(use_async_batching=False, use_cuda_graph=(False, False)), False),
        (ContinuousBatchingConfig(use_async_batching=True, use_cuda_graph=(False, False)), True),
        (ContinuousBatchingConfig(use_async_batching=False, use_cuda_graph=(False, True)), True),
    ],
)
async def test_where_batches_are_prepared_ahead_nothing_is_followed(
    tiny: TinyLlama, monkeypatch: pytest.MonkeyPatch, config: ContinuousBatchingConfig, ahead: bool
) -> None:
    """As on a GPU with flash attention."""
    decide = engines._prepares_ahead
    monkeypatch.setattr(engines, "_prepares_ahead", lambda _: decide(config))
    engine = TransformersEngine(tiny.folder, tiny.manifest, settings())
    try:
        asked = request("a", SamplingParams(max_tokens=60), DIGITS)
        if ahead:
            with pytest.raises(UnsupportedOptionError, match="prepared before the last tokens"):
                await generate(engine, asked)
        else:
            assert re.fullmatch(DIGITS.text, (await generate(engine, asked)).text)
    finally:
        engine.close()
