"""Tools over the Messages API: told to the engine, called by it, and answered."""

from __future__ import annotations

import json

import httpx
import pytest
from anthropic import Anthropic
from anthropic.types import Message, MessageParam, ToolParam

from deployments.api.anthropic.replies import whole_message
from deployments.api.http.generation import Generated
from models.errors import EngineError
from models.tools import ToolCall, ToolCallPiece, Tools
from models.types import ChatMessage, Conversation, FinishReason, GenerationChunk, Usage, VersionId
from tests.unit.deployments.api.fake import FakeDataPlane

HELLO: MessageParam = {"role": "user", "content": "hello wide world"}
SCHEMA: dict[str, object] = {"type": "object", "properties": {"words": {"type": "integer"}}}
COUNT: ToolParam = {"name": "count", "description": "Counts.", "input_schema": SCHEMA}
STOP: ToolParam = {"name": "stop", "input_schema": {"type": "object"}}


def ask(client: Anthropic, **options: object) -> Message:
    given = {"model": "echo", "max_tokens": 10, "messages": [HELLO], "tools": [COUNT, STOP], **options}
    return client.messages.create(**given)  # type: ignore[call-overload, no-any-return]


def told(dataplane: FakeDataPlane) -> Tools | None:
    prompt = dataplane.generations[-1].prompt
    assert isinstance(prompt, Conversation)
    return prompt.tools


def test_the_engine_is_told_of_tools(client: Anthropic, dataplane: FakeDataPlane) -> None:
    ask(client)
    tools = told(dataplane)
    assert tools is not None
    assert (tools.required, tools.parallel) == (False, True)
    count, stop = tools.functions
    assert (count.name, count.description, json.loads(count.parameters)) == ("count", "Counts.", SCHEMA)
    assert (stop.name, stop.description, json.loads(stop.parameters)) == ("stop", None, {"type": "object"})


@pytest.mark.parametrize(
    ("choice", "names", "required", "parallel"),
    [
        ({"type": "auto", "disable_parallel_tool_use": True}, ["count", "stop"], False, False),
        ({"type": "any"}, ["count", "stop"], True, True),
        ({"type": "tool", "name": "stop"}, ["stop"], True, True),
    ],
)
def test_a_choice_is_passed_on(
    client: Anthropic,
    dataplane: FakeDataPlane,
    choice: dict[str, object],
    names: list[str],
    required: bool,
    parallel: bool,
) -> None:
    ask(client, tool_choice=choice)
    tools = told(dataplane)
    assert tools is not None
    assert [function.name for function in tools.functions] == names
    assert (tools.required, tools.parallel) == (required, parallel)


@pytest.mark.parametrize("options", [{"tools": []}, {"tool_choice": {"type": "none"}}])
def test_no_tools_are_none(client: Anthropic, dataplane: FakeDataPlane, options: dict[str, object]) -> None:
    ask(client, **options)
    assert told(dataplane) is None


def test_calls_come_back_whole(client: Anthropic) -> None:
    answer = ask(client)
    assert answer.stop_reason == "tool_use"
    said, *calls = answer.content
    assert said.type == "text"
    assert said.text == "Let me see. "
    assert [(call.name, call.input) for call in calls if call.type == "tool_use"] == [
        ("count", {"words": 3}),
        ("stop", {"words": 3}),
    ]
    ids = {call.id for call in calls if call.type == "tool_use"}
    assert len(ids) == 2
    assert all(call_id.startswith("toolu_") for call_id in ids)


def test_the_client_builds_the_same_calls_from_the_stream(client: Anthropic) -> None:
    with client.messages.stream(model="echo", max_tokens=10, messages=[HELLO], tools=[COUNT, STOP]) as stream:
        events = list(stream)
        built = stream.get_final_message()
    kept = {"type", "text", "name", "input"}
    whole = ask(client)
    assert [block.model_dump(include=kept) for block in built.content] == [
        block.model_dump(include=kept) for block in whole.content
    ]
    assert built.stop_reason == "tool_use"
    starts = [event for event in events if event.type == "content_block_start"]
    assert [(event.index, event.content_block.type) for event in starts] == [
        (0, "text"),
        (1, "tool_use"),
        (2, "tool_use"),
    ]
    assert [event.index for event in events if event.type == "content_block_stop"] == [0, 1, 2]
    assert sum(event.type == "input_json" for event in events) == 4


def test_calls_and_results_reach_the_model(client: Anthropic, dataplane: FakeDataPlane) -> None:
    first = ask(client)
    uses = [block for block in first.content if block.type == "tool_use"]
    results: MessageParam = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": uses[0].id, "content": [{"type": "text", "text": "3"}]},
            {"type": "tool_result", "tool_use_id": uses[1].id, "content": "no", "is_error": True},
            {"type": "text", "text": "and now?"},
        ],
    }
    ask(client, messages=[HELLO, first.to_param(), results])
    prompt = dataplane.generations[-1].prompt
    assert isinstance(prompt, Conversation)
    arguments = '{"words": 3}'
    assert prompt.messages == (
        ChatMessage("user", "hello wide world"),
        ChatMessage(
            "assistant",
            "Let me see. ",
            (ToolCall(uses[0].id, "count", arguments), ToolCall(uses[1].id, "stop", arguments)),
        ),
        ChatMessage("tool", "3", (), uses[0].id),
        ChatMessage("tool", "Error: no", (), uses[1].id),
        ChatMessage("user", "and now?"),
    )


def test_of_a_call_that_was_cut_off_the_input_is_what_there_is() -> None:
    last = GenerationChunk("", FinishReason.LENGTH, Usage(3, 5))
    calls = (ToolCallPiece(0, '{"city": "Paris", "unit": "', "get_weather"), ToolCallPiece(1, "", "stop"))
    message = whole_message(Generated(VersionId("m", "1"), "", last, calls))
    assert message["stop_reason"] == "max_tokens"
    assert [block["input"] for block in message["content"] if block["type"] == "tool_use"] == [
        {"city": "Paris"},
        {},
    ]


@pytest.mark.parametrize(
    "value",
    ["1e999", f"{'9' * 5000}", f"{'[' * 300}{']' * 300}", '"\\ud800"'],
    ids=["float", "int", "depth", "half"],
)
def test_an_input_that_no_message_can_carry_is_an_error_that_says_so(value: str) -> None:
    last = GenerationChunk("", FinishReason.TOOL_CALLS, Usage(3, 5))
    call = ToolCallPiece(0, f'{{"a": {value}}}', "count")
    with pytest.raises(
        EngineError, match=r"called count with an input that no message can carry.*stream the message"
    ):
        whole_message(Generated(VersionId("m", "1"), "", last, (call,)))


def test_names_are_longer_than_openais(client: Anthropic, dataplane: FakeDataPlane) -> None:
    name = "n" * 128
    tool: ToolParam = {"name": name, "input_schema": {"type": "object"}}
    use = {"type": "tool_use", "id": "t", "name": name, "input": {}}
    ask(
        client,
        tools=[tool],
        tool_choice={"type": "tool", "name": name},
        messages=[HELLO, {"role": "assistant", "content": [use]}, HELLO],
    )
    tools = told(dataplane)
    assert tools is not None
    assert [function.name for function in tools.functions] == [name]


def test_a_schema_without_a_type_is_that_of_an_object(client: Anthropic, dataplane: FakeDataPlane) -> None:
    ask(client, tools=[{"name": "count", "input_schema": {"properties": SCHEMA["properties"]}}])
    tools = told(dataplane)
    assert tools is not None
    assert json.loads(tools.functions[0].parameters) == SCHEMA


USE = {"type": "tool_use", "id": "t", "name": "count", "input": {}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tools": [COUNT, COUNT]}, "two tools are called 'count'"),
        ({"tools": [{**COUNT, "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{"name": "count"}]}, "tools[0].input_schema is required"),
        ({"tools": [STOP, {**COUNT, "input_schema": {"type": "array"}}]}, "tools[1].input_schema: "),
        ({"tools": [{**COUNT, "name": "n" * 129}]}, "tools[0].name"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name belongs to the type tool"),
        ({"tool_choice": {"type": "auto", "name": "count"}}, "tool_choice.name belongs to the type tool"),
        ({"tool_choice": {"type": "tool", "name": "other"}}, "not among the tools"),
        ({"tools": [], "tool_choice": {"type": "any"}}, "not among the tools"),
        ({"messages": [{"role": "user", "content": [USE]}]}, "tool_use belongs to the role assistant"),
        (
            {"messages": [HELLO, {"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}, HELLO]},
            "messages[1].content[0].name is required",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "tool_use_id is required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "id": "t"}]}]},
            "messages[0].content[0].id does not belong",
        ),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, options: dict[str, object], words: str) -> None:
    body = {"model": "echo", "max_tokens": 10, "messages": [HELLO], "tools": [COUNT], **options}
    response = http.post("/v1/messages", json=body)
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]
