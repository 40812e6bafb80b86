"""Tools through OpenAI's own client: what the engine is told of them, and how its calls come back."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel

from models.tools import ToolCall, Tools
from models.types import ChatMessage, Conversation
from tests.unit.deployments.api.fake import FakeDataPlane

HELLO = {"role": "user", "content": "hello wide world"}
SCHEMA = {"type": "object", "properties": {"words": {"type": "integer"}}}
COUNT = {"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": SCHEMA}}
STOP = {"type": "function", "function": {"name": "stop"}}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


class Count(BaseModel):
    """Counts words."""

    words: int


def ask(client: OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model="echo", messages=[HELLO], **options)  # type: ignore[list-item]


def told(http: httpx.Client, dataplane: FakeDataPlane, **fields: object) -> Tools | None:
    response = http.post("/v1/chat/completions", json={"model": "echo", "messages": [HELLO], **fields})
    assert response.status_code == 200, response.text
    prompt = dataplane.generations[-1].prompt
    assert isinstance(prompt, Conversation)
    return prompt.tools


def test_the_engine_is_told_of_functions(http: httpx.Client, dataplane: FakeDataPlane) -> None:
    tools = told(http, dataplane, tools=[COUNT, STOP])
    assert tools is not None
    assert (tools.required, tools.parallel) == (False, True)
    count, stop = tools.functions
    assert (count.name, count.description, json.loads(count.parameters)) == ("count", "Counts.", SCHEMA)
    assert (stop.name, stop.description, json.loads(stop.parameters)) == ("stop", None, NOTHING)


@pytest.mark.parametrize(
    ("fields", "names", "required", "parallel"),
    [
        ({"tool_choice": "auto", "parallel_tool_calls": False}, ["count", "stop"], False, False),
        ({"tool_choice": "required", "parallel_tool_calls": True}, ["count", "stop"], True, True),
        ({"tool_choice": {"type": "function", "function": {"name": "stop"}}}, ["stop"], True, True),
    ],
)
def test_a_choice_is_passed_on(
    http: httpx.Client,
    dataplane: FakeDataPlane,
    fields: dict[str, object],
    names: list[str],
    required: bool,
    parallel: bool,
) -> None:
    tools = told(http, dataplane, tools=[COUNT, STOP], **fields)
    assert tools is not None
    assert [function.name for function in tools.functions] == names
    assert (tools.required, tools.parallel) == (required, parallel)


@pytest.mark.parametrize("schema", [{}, {"properties": SCHEMA["properties"]}])
def test_parameters_without_a_type_are_an_object(
    http: httpx.Client, dataplane: FakeDataPlane, schema: dict[str, object]
) -> None:
    tools = told(http, dataplane, tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])
    assert tools is not None
    assert json.loads(tools.functions[0].parameters) == {"type": "object", **schema}


@pytest.mark.parametrize(
    "fields",
    [{}, {"tools": []}, {"tools": None, "tool_choice": "auto"}, {"tools": [COUNT], "tool_choice": "none"}],
)
def test_no_tools_are_none(http: httpx.Client, dataplane: FakeDataPlane, fields: dict[str, object]) -> None:
    assert told(http, dataplane, **fields) is None


def test_calls_come_back_whole(client: OpenAI) -> None:
    choice = ask(client, tools=[COUNT, STOP]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see. "
    assert [call.function.name for call in choice.message.tool_calls] == ["count", "stop"]
    assert [json.loads(call.function.arguments) for call in choice.message.tool_calls] == [{"words": 3}] * 2
    ids = {call.id for call in choice.message.tool_calls}
    assert len(ids) == 2
    assert all(call_id.startswith("call_") for call_id in ids)


def test_calls_come_back_in_parts(client: OpenAI) -> None:
    chunks = [chunk.choices[0] for chunk in ask(client, tools=[COUNT, STOP], stream=True)]
    parts = [part for choice in chunks for part in choice.delta.tool_calls or []]
    assert [(part.index, part.id is not None, part.function.name) for part in parts] == [
        (0, True, "count"),
        (0, False, None),
        (0, False, None),
        (1, True, "stop"),
        (1, False, None),
        (1, False, None),
    ]
    arguments = ["".join(part.function.arguments for part in parts if part.index == index) for index in (0, 1)]
    assert [json.loads(text) for text in arguments] == [{"words": 3}] * 2
    assert chunks[-1].finish_reason == "tool_calls"
    assert "".join(choice.delta.content or "" for choice in chunks) == "Let me see. "


def test_openais_client_puts_a_stream_together_and_parses_it(client: OpenAI) -> None:
    tools = [pydantic_function_tool(Count, name="count")]
    with client.chat.completions.stream(model="echo", messages=[HELLO], tools=tools) as stream:  # type: ignore[list-item]
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.parsed_arguments == Count(words=3)


def test_calls_and_results_can_be_sent_back(client: OpenAI, dataplane: FakeDataPlane) -> None:
    message = ask(client, tools=[COUNT]).choices[0].message
    call = message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "3"}
    messages = [HELLO, message.model_dump(), result]
    client.chat.completions.create(model="echo", messages=messages)
    made = ToolCall(call.id, "count", '{"words": 3}')
    assert dataplane.generations[-1].prompt == Conversation(
        (
            ChatMessage("user", "hello wide world"),
            ChatMessage("assistant", "Let me see. ", (made,)),
            ChatMessage("tool", "3", tool_call_id=call.id),
        )
    )


CALLED = {"id": "1", "type": "function", "function": {"name": "count", "arguments": "{}"}}
DEEP = '{"a": ' * 5000


def made(arguments: str) -> dict[str, object]:
    """A turn with a call."""
    function = {"name": "count", "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{**CALLED, "function": function}]}


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function", "required"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "'function'"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "pattern"),
        ({"tools": [{"type": "function", "function": {"name": "n" * 65}}]}, "tools[0].function.name", "pattern"),
        (
            {"tools": [STOP, {"type": "function", "function": {"name": "x", "parameters": {"type": "string"}}}]},
            "tools[1].function.parameters",
            '"type": "object"',
        ),
        ({"tools": [COUNT, COUNT]}, "tools", "two tools are called 'count'"),
        ({"tools": [STOP] * 129}, "tools", "at most 128"),
        ({"tool_choice": "required"}, "tool_choice", "not among the tools"),
        (
            {"tools": [STOP], "tool_choice": {"type": "function", "function": {"name": "count"}}},
            "tool_choice",
            "not among the tools",
        ),
        ({"tools": [STOP], "tool_choice": "never"}, "tool_choice.type", "'required'"),
        ({"tools": [STOP], "tool_choice": {"type": "function"}}, "tool_choice", "a function to call"),
        ({"tools": [STOP], "tool_choice": "function"}, "tool_choice", "a function to call"),
        ({"tools": [STOP], "tool_choice": {"type": "allowed_tools"}}, "tool_choice", "a function to call"),
        (
            {"tools": [STOP], "tool_choice": {"type": "function", "function": {"name": "stop", "more": 1}}},
            "tool_choice.function.more",
            "unknown field",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": []}]}, "messages[0].content", "required"),
        ({"messages": [HELLO, {**HELLO, "tool_calls": [CALLED]}]}, "messages[1].tool_calls", "assistant"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "has to have it"),
        ({"messages": [{**HELLO, "tool_call_id": "1"}]}, "messages[0].tool_call_id", "role tool"),
        ({"messages": [made("[]")]}, "messages[0].tool_calls[0].function.arguments", "JSON object"),
        ({"messages": [made("{")]}, "messages[0].tool_calls[0].function.arguments", "EOF while parsing"),
        ({"messages": [made(DEEP)]}, "messages[0].tool_calls[0].function.arguments", "recursion limit"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, fields: dict[str, object], param: str, said: str) -> None:
    response = http.post("/v1/chat/completions", json={"model": "echo", "messages": [HELLO], **fields})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert said in response.json()["error"]["message"]
