from __future__ import annotations

import json
from typing import cast

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseInputParam
from pydantic import BaseModel

from models.types import ChatMessage, Conversation, Grammar, GrammarKind, SamplingParams
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import wait_until

HELLO = "hello wide world"


def ask(client: OpenAI, given: object = HELLO, **options: object) -> Response:
    return client.responses.create(model="echo", input=given, **options)  # type: ignore[call-overload, no-any-return]


def events_of(http: httpx.Client, **options: object) -> list[dict[str, object]]:
    raw = http.post("/v1/responses", json={"model": "echo", "input": HELLO, "stream": True, **options})
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    named = [block.split("\n") for block in raw.text.split("\n\n") if block]
    data = [json.loads(line.removeprefix("data: ")) for _, line in named]
    assert [name.removeprefix("event: ") for name, _ in named] == [each["type"] for each in data]
    return data


def test_a_whole_answer(client: OpenAI) -> None:
    answer = ask(client, instructions="say", metadata={"a": "b"}, temperature=0.5, user="someone")
    assert answer.id.startswith("resp_")
    assert (answer.object, answer.status, answer.model) == ("response", "completed", "echo@2")
    assert answer.output_text == "say hello wide world "
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (4, 4, 8)
    assert (answer.instructions, answer.metadata, answer.temperature) == ("say", {"a": "b"}, 0.5)
    assert (answer.error, answer.incomplete_details, answer.tools) == (None, None, [])
    assert answer.completed_at is not None


def test_a_token_limit_leaves_it_incomplete(client: OpenAI) -> None:
    answer = ask(client, max_output_tokens=2)
    assert (answer.status, answer.output_text) == ("incomplete", "hello wide ")
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_the_client_builds_the_same_response_from_the_stream(client: OpenAI) -> None:
    with client.responses.stream(model="echo@1", input=HELLO) as stream:
        types = [event.type for event in stream]
        built = stream.get_final_response()
    assert built.output_text == "hello wide world "
    assert built.usage is not None
    assert built.usage.total_tokens == 6
    assert built.model == "echo@1"
    assert types.count("response.output_text.delta") == 3


def test_a_stream_is_these_numbered_events(http: httpx.Client) -> None:
    data = events_of(http)
    assert [each["sequence_number"] for each in data] == list(range(len(data)))
    types = [str(each["type"]).removeprefix("response.") for each in data]
    assert types[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert types[4:-4] == ["output_text.delta"] * 3
    assert types[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert len({each["item_id"] for each in data if "item_id" in each}) == 1


def test_a_stream_that_is_cut_off_says_so(http: httpx.Client) -> None:
    last = events_of(http, max_output_tokens=1)[-1]
    assert last["type"] == "response.incomplete"
    response = cast("dict[str, object]", last["response"])
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_items_and_sampling_reach_the_engine(client: OpenAI, dataplane: FakeDataPlane) -> None:
    given: ResponseInputParam = [
        {
            "role": "developer",
            "content": [{"type": "input_text", "text": "be"}, {"type": "input_text", "text": "kind"}],
        },
        {"type": "message", "role": "user", "content": "one"},
    ]
    ask(client, given, instructions="and brief", max_output_tokens=7, temperature=0.5, top_p=0.9, user="u-1")
    request = dataplane.generations[-1]
    assert request.prompt == Conversation(
        (ChatMessage("system", "and brief"), ChatMessage("system", "be\nkind"), ChatMessage("user", "one"))
    )
    assert request.sampling == SamplingParams(max_tokens=7, temperature=0.5, top_p=0.9)
    assert dataplane.users[-1] == "u-1"


def test_an_output_can_be_sent_back_as_input(client: OpenAI) -> None:
    answer = ask(client)
    sent = [{"role": "user", "content": HELLO}, *(item.model_dump(exclude_none=True) for item in answer.output)]
    assert ask(client, sent).output_text == "hello wide world " * 2


def test_neutral_values_of_what_is_not_supported_pass(client: OpenAI, dataplane: FakeDataPlane) -> None:
    ask(
        client,
        store=False,
        background=False,
        previous_response_id=None,
        include=["reasoning.encrypted_content"],
        reasoning={"effort": "none"},
        text={"format": {"type": "text"}, "verbosity": "medium"},
        tools=[],
        tool_choice="auto",
        truncation="disabled",
        parallel_tool_calls=True,
        service_tier="auto",
        top_logprobs=0,
    )
    assert dataplane.generations[-1].sampling == SamplingParams()
    assert dataplane.generations[-1].grammar is None


def test_a_schema_becomes_a_grammar(client: OpenAI, dataplane: FakeDataPlane) -> None:
    class Ship(BaseModel):
        name: str

    parsed = client.responses.parse(model="echo", input='{"name":"Vasa"}', text_format=Ship)
    assert parsed.output_parsed == Ship(name="Vasa")
    grammar = dataplane.generations[-1].grammar
    assert grammar is not None
    assert (grammar.kind, grammar.param) == (GrammarKind.JSON_SCHEMA, "text.format")
    assert json.loads(grammar.text)["properties"]["name"]["type"] == "string"
    ask(client, text={"format": {"type": "json_object"}})
    expected = Grammar(GrammarKind.JSON_SCHEMA, '{"type": "object"}', "text.format")
    assert dataplane.generations[-1].grammar == expected


@pytest.mark.parametrize(
    ("options", "param", "said"),
    [
        ({"store": True}, "store", "send false"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "resp_1"),
        ({"conversation": "conv_1"}, "conversation", "conv_1"),
        ({"background": True}, "background", "true"),
        ({"tools": [{"type": "web_search"}]}, "tools", "web_search"),
        ({"reasoning": {"effort": "high"}}, "reasoning", "high"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema", "do not go together"),
        ({"truncation": "auto"}, "truncation", "auto"),
        ({"input": []}, "input", "at least 1"),
        ({"input": 5}, "input", "5"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "'message'"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type", "image"),
        ({"input": [{"role": "user", "content": "x", "name": "Ann"}]}, "input[0].name", "unknown"),
        ({"max_output_tokens": 0}, "max_output_tokens", "greater than 0"),
        ({"temperature": 2.5}, "temperature", "2.5"),
        ({"max_tokens": 5}, "max_tokens", "did you mean max_output_tokens?"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, options: dict[str, object], param: str, said: str) -> None:
    response = http.post("/v1/responses", json={"model": "echo", "input": HELLO, **options})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert said in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_any_output(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "overload", stream=stream)
    assert caught.value.code == "overloaded"


def test_an_error_after_the_first_words_fails_the_response(client: OpenAI) -> None:
    *_, last = client.responses.create(model="echo", input="good break bad", stream=True)
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.output_text == "good "
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("server_error", "the engine broke")


def test_leaving_a_stream_stops_the_generation(client: OpenAI, dataplane: FakeDataPlane) -> None:
    stream = client.responses.create(model="echo", input="forever", stream=True)
    next(iter(stream))
    assert dataplane.num_active == 1
    stream.close()
    wait_until(lambda: dataplane.num_active == 0, timeout_s=2)
