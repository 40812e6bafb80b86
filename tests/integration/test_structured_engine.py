"""SmolLM2 kept to schemas and expressions: whatever it samples is valid, and its neighbours do not notice."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from pydantic import JsonValue

from models.engines.base import EngineSettings
from models.engines.transformers import TransformersEngine
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress
from models.store import StoredModel
from models.types import (
    ChatMessage,
    Conversation,
    FinishReason,
    GenerationRequest,
    Grammar,
    GrammarKind,
    SamplingParams,
)
from tests.integration.test_import_demo import SMOLLM2

Schema = dict[str, JsonValue]

SETTINGS = EngineSettings(
    max_model_len=1024, max_num_seqs=16, max_batch_tokens=512, page_size=32, num_kv_pages=320
)
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 20}
AGE: Schema = {"type": "integer", "minimum": 0, "maximum": 150}


def closed(**properties: JsonValue) -> Schema:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def listed(items: JsonValue, least: int, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


PERSON = closed(name=NAME, age=AGE)
SCHEMAS: dict[str, Schema] = {
    "object": PERSON,
    "optional": {**PERSON, "required": ["name"]},
    "nested": closed(owner=PERSON, pet=closed(kind={"enum": ["cat", "dog"]}, age=AGE)),
    "array": listed(PERSON, 1, 3),
    "tuple": {"type": "array", "prefixItems": [NAME, AGE], "items": False, "minItems": 2},
    "enum": {"enum": ["red", "green", 3, None, True]},
    "const": closed(kind={"const": "ship"}, name=NAME),
    "anyOf": {"anyOf": [PERSON, {"type": "null"}, AGE]},
    "allOf": {"allOf": [closed(name=NAME), {"type": "object", "properties": {"name": {"minLength": 3}}}]},
    "oneOf": {"oneOf": [closed(kind={"const": "a"}, a=AGE), closed(kind={"const": "b"}, b=NAME)]},
    "ref": {
        "$defs": {"person": PERSON},
        **closed(one={"$ref": "#/$defs/person"}, other={"$ref": "#/$defs/person"}),
    },
    "recursive": {
        "$defs": {"tree": {**closed(value=AGE), "properties": {"value": AGE, "next": {"$ref": "#/$defs/tree"}}}},
        "$ref": "#/$defs/tree",
    },
    "pattern": closed(plate={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,4}$"}),
    "date": closed(day={"type": "string", "format": "date"}),
    "email": closed(mail={"type": "string", "format": "email", "maxLength": 40}),
    "number": closed(price={"type": "number", "minimum": 0.5, "maximum": 99.5, "multipleOf": 0.25}),
    "multiple": closed(seats={"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 1000}),
    "types": closed(value={"type": ["string", "integer"], "maxLength": 10, "minimum": -5, "maximum": 5}),
    "patternProperties": {
        "type": "object",
        "patternProperties": {"^[a-z]{1,8}$": AGE},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 3,
    },
    "scalars": closed(flag={"type": "boolean"}, nothing={"type": "null"}, name=NAME),
}

_ids = itertools.count()


@pytest.fixture(scope="module")
def stored(store_folder: Path) -> StoredModel:
    return import_model(SMOLLM2, LocalStore(store_folder), NoProgress())


@pytest.fixture(scope="module")
def engine(stored: StoredModel) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(stored.folder, stored.manifest, SETTINGS)
    yield engine
    engine.close()


async def generate(
    engine: TransformersEngine, question: str, sampling: SamplingParams, grammar: Grammar | None = None
) -> tuple[str, FinishReason | None]:
    prompt = Conversation((ChatMessage("user", question),))
    request = GenerationRequest(f"request-{next(_ids)}", prompt, sampling, grammar)
    chunks = [chunk async for chunk in engine.generate(request)]
    return "".join(chunk.text for chunk in chunks), chunks[-1].finish_reason


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
async def test_every_sampled_answer_is_valid(engine: TransformersEngine, schema: Schema) -> None:
    grammar = Grammar(GrammarKind.JSON_SCHEMA, json.dumps(schema), "response_format")
    samples = [SamplingParams(seed=seed, temperature=1.2, max_tokens=300) for seed in range(4)]
    answers = await asyncio.gather(
        *(generate(engine, "Make something up, as JSON.", sampling, grammar) for sampling in samples)
    )
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    for text, reason in answers:
        assert reason is FinishReason.STOP, text
        checker.validate(json.loads(text))


async def test_an_expression_is_matched(engine: TransformersEngine) -> None:
    grammar = Grammar(
        GrammarKind.REGEX, r"(Mon|Tues|Fri)day, \d{1,2} (May|June) 20\d\d", "structured_outputs.regex"
    )
    samples = [SamplingParams(seed=seed, max_tokens=40) for seed in range(8)]
    answers = await asyncio.gather(*(generate(engine, "When?", sampling, grammar) for sampling in samples))
    assert all(re.fullmatch(grammar.text, text, re.ASCII) for text, _ in answers)
    assert len({text for text, _ in answers}) > 1


async def test_free_answers_are_those_that_they_are_alone(engine: TransformersEngine) -> None:
    questions = ["What is the capital of France?", "Name three oceans.", "Why is the sky blue?", "Count to ten."]
    greedy = SamplingParams(temperature=0, max_tokens=48)
    alone = [await generate(engine, question, greedy) for question in questions]
    grammar = Grammar(GrammarKind.JSON_SCHEMA, json.dumps(listed(PERSON, 4, 4)), "response_format")
    crowd = (generate(engine, "People?", SamplingParams(seed=seed, max_tokens=96), grammar) for seed in range(8))
    *beside, last = await asyncio.gather(*(generate(engine, question, greedy) for question in questions), *crowd)
    assert beside[: len(questions)] == alone
    assert last[0].startswith('[{"name": "')


async def test_what_is_cancelled_leaves_its_place_and_its_pages(engine: TransformersEngine) -> None:
    endless = Grammar(GrammarKind.REGEX, "([a-z]{3} )*", "structured_outputs.regex")
    tasks = [
        asyncio.create_task(generate(engine, "Words?", SamplingParams(seed=seed, max_tokens=800), endless))
        for seed in range(4)
    ]
    async with asyncio.timeout(60):
        while engine.stats().num_running < len(tasks):  # noqa: ASYNC110  the engine's thread tells nobody
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while engine.stats().num_running or engine.stats().num_kv_pages_used:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
