"""SmolLM2 with a chat template that knows tools, through OpenAI's and Anthropic's clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import openai
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam, ToolParam
from openai import OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, Field

from deployments.api.app import build_app
from deployments.dataplane.call import Call
from deployments.dataplane.streams import GenerationStream
from models.engines.transformers import TransformersEngine
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress
from models.types import GenerationRequest, VersionId
from tests.integration.test_import_demo import SMOLLM2
from tests.integration.test_structured_engine import SETTINGS as ENGINE_SETTINGS
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served
from tests.unit.models.engines.tool_template import TOOL_TEMPLATE

MODEL = "smollm2-135m"
QUESTION: ChatCompletionMessageParam = {
    "role": "user",
    "content": "What is the weather in Paris? Use get_weather.",
}


class EngineDataPlane(FakeDataPlane):
    """Generates with an engine, in this process."""

    def __init__(self, engine: TransformersEngine) -> None:
        super().__init__()
        self._engine = engine

    async def generate(self, model: str, request: GenerationRequest, call: Call) -> GenerationStream:
        return GenerationStream(VersionId(model, "1"), self._engine.generate(request))


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str = Field(max_length=20)
    unit: Literal["C", "F"]


class Person(BaseModel):
    """Someone."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


WEATHER = pydantic_function_tool(GetWeather, name="get_weather")
PERSON = pydantic_function_tool(Person, name="add_person")


@pytest.fixture(scope="module")
def address(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    stored = import_model(SMOLLM2, LocalStore(store_folder), NoProgress())
    folder = tmp_path_factory.mktemp("tools")
    for file in stored.folder.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.jinja").write_text(TOOL_TEMPLATE)
    engine = TransformersEngine(folder, stored.manifest, ENGINE_SETTINGS)
    try:
        with served(build_app(EngineDataPlane(engine), SETTINGS)) as served_at:
            yield served_at
    finally:
        engine.close()


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="module")
def anthropic(address: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=f"http://{address}", api_key="none", max_retries=0, timeout=120) as opened:
        yield opened


def test_a_required_call_has_arguments_of_its_function(client: OpenAI) -> None:
    choice = client.chat.completions.parse(
        model=MODEL,
        messages=[QUESTION],
        tools=[WEATHER, PERSON],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=100,
    ).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Paris", unit="C")


def test_a_named_function_is_called(client: OpenAI) -> None:
    choice = client.chat.completions.parse(
        model=MODEL,
        messages=[QUESTION],
        tools=[WEATHER, PERSON],
        tool_choice={"type": "function", "function": {"name": "add_person"}},
        parallel_tool_calls=False,
        max_tokens=100,
    ).choices[0]
    assert choice.message.tool_calls is not None
    assert isinstance(choice.message.tool_calls[0].function.parsed_arguments, Person)


def test_a_stream_brings_the_arguments_as_they_come(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=[QUESTION],
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=100,
    ) as stream:
        deltas = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion().choices[0]
    assert len(deltas) > 3
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls is not None
    assert json.loads("".join(delta.arguments_delta for delta in deltas)) == {"city": "Paris", "unit": "C"}


def test_the_model_goes_on_from_a_result(client: OpenAI) -> None:
    first = client.chat.completions.create(
        model=MODEL, messages=[QUESTION], tools=[WEATHER], tool_choice="required", temperature=0, max_tokens=100
    )
    message = first.choices[0].message
    assert message.tool_calls is not None
    results: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees and sunny"} for call in message.tool_calls
    ]
    called: ChatCompletionMessageParam = message.model_dump()  # type: ignore[assignment]
    second = client.chat.completions.create(
        model=MODEL, messages=[QUESTION, called, *results], temperature=0, max_tokens=60
    )
    assert "sunny" in (second.choices[0].message.content or "")


def test_anthropics_client_calls_a_tool_and_goes_on_as_openais_does(anthropic: Anthropic, client: OpenAI) -> None:
    question: MessageParam = {"role": "user", "content": str(QUESTION["content"])}
    weather: ToolParam = {
        "name": "get_weather",
        "description": "The weather of a city.",
        "input_schema": {**GetWeather.model_json_schema(), "additionalProperties": False},
    }
    with anthropic.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=[question],
        tools=[weather],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        extra_body={"temperature": 0},
    ) as stream:
        num_parts = sum(event.type == "input_json" for event in stream)
        called = stream.get_final_message()
    (use,) = called.content
    assert use.type == "tool_use"
    assert (use.name, use.input, called.stop_reason) == ("get_weather", {"city": "Paris", "unit": "C"}, "tool_use")
    assert num_parts > 3
    result: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "21 degrees and sunny"}],
    }
    answer = anthropic.messages.create(
        model=MODEL, max_tokens=60, messages=[question, called.to_param(), result], extra_body={"temperature": 0}
    )
    function = {"name": use.name, "arguments": json.dumps(use.input)}
    told: list[ChatCompletionMessageParam] = [
        QUESTION,
        {"role": "assistant", "tool_calls": [{"id": use.id, "type": "function", "function": function}]},  # type: ignore[typeddict-item]
        {"role": "tool", "tool_call_id": use.id, "content": "21 degrees and sunny"},
    ]
    chat = client.chat.completions.create(model=MODEL, max_tokens=60, messages=told, temperature=0)
    assert (
        "".join(block.text for block in answer.content if block.type == "text") == chat.choices[0].message.content
    )
    assert chat.usage is not None
    assert answer.usage.input_tokens == chat.usage.prompt_tokens


def test_a_model_may_answer_without_a_call(client: OpenAI) -> None:
    choice = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        tools=[PERSON],
        temperature=0,
        max_tokens=60,
    ).choices[0]
    assert choice.finish_reason in ("stop", "length", "tool_calls")
    assert choice.message.content or choice.message.tool_calls


def test_a_form_is_parsed(client: OpenAI) -> None:
    reply = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Describe a sailor."}],
        response_format=Person,
        max_tokens=100,
    )
    assert isinstance(reply.choices[0].message.parsed, Person)


def test_what_cannot_be_followed_is_named(client: OpenAI) -> None:
    schema = {"type": "array", "uniqueItems": True}
    with pytest.raises(openai.BadRequestError, match="uniqueItems") as caught:
        client.chat.completions.create(
            model=MODEL,
            messages=[QUESTION],
            response_format={"type": "json_schema", "json_schema": {"name": "it", "schema": schema}},
        )
    assert caught.value.param == "response_format"
