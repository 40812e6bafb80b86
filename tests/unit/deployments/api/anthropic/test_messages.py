from __future__ import annotations

import json

import anthropic
import httpx
import pytest
from anthropic import Anthropic
from anthropic.types import Message, MessageParam

from models.types import ChatMessage, Conversation, Grammar, GrammarKind, SamplingParams
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import wait_until

HELLO: MessageParam = {"role": "user", "content": "hello wide world"}


def ask(client: Anthropic, **options: object) -> Message:
    given = {"model": "echo", "max_tokens": 10, "messages": [HELLO], **options}
    return client.messages.create(**given)  # type: ignore[call-overload, no-any-return]


def body(**options: object) -> dict[str, object]:
    return {"model": "echo", "max_tokens": 10, "messages": [HELLO], **options}


def said(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def text_of(message: Message) -> str:
    (block,) = message.content
    assert block.type == "text"
    return block.text


def test_a_whole_answer(client: Anthropic) -> None:
    answer = ask(client)
    assert answer.id.startswith("msg_")
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "echo@2")
    assert text_of(answer) == "hello wide world "
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 3)


def test_why_it_ended(client: Anthropic) -> None:
    cut = ask(client, max_tokens=2)
    assert (text_of(cut), cut.stop_reason) == ("hello wide ", "max_tokens")
    stopped = ask(client, stop_sequences=["never", "world"])
    assert text_of(stopped) == "hello wide "
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "world")
    assert stopped.usage.output_tokens == 2


def test_the_client_builds_the_same_message_from_the_stream(client: Anthropic) -> None:
    with client.messages.stream(model="echo@1", max_tokens=10, messages=[HELLO]) as stream:
        assert "".join(stream.text_stream) == "hello wide world "
        built = stream.get_final_message()
    whole = ask(client, model="echo@1")
    assert built.model_dump(exclude={"id", "content"}) == whole.model_dump(exclude={"id", "content"})
    assert text_of(built) == text_of(whole)


def test_a_stream_is_these_events(client: Anthropic, http: httpx.Client) -> None:
    raw = http.post("/v1/messages", json=body(stream=True))
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = [block.split("\n") for block in raw.text.split("\n\n") if block]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert [name.removeprefix("event: ") for name, _ in events] == [event["type"] for event in data]
    types = [event["type"] for event in data]
    assert types[:3] == ["message_start", "ping", "content_block_start"]
    assert types[3:-3] == ["content_block_delta"] * 3
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert data[0]["message"]["usage"] == {"input_tokens": 3, "output_tokens": 0}
    assert data[-2]["usage"] == {"input_tokens": 3, "output_tokens": 3}
    assert data[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


def test_messages_and_sampling_reach_the_engine(client: Anthropic, dataplane: FakeDataPlane) -> None:
    ask(
        client,
        system=[
            {"type": "text", "text": "be", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "kind"},
        ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            {"role": "user", "content": "three"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "now"},
        ],
        max_tokens=7,
        stop_sequences=["a", "b"],
        metadata={"user_id": "u-1"},
        extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 40},
    )
    request = dataplane.generations[-1]
    assert request.prompt == Conversation(
        (
            ChatMessage("system", "be\nkind"),
            ChatMessage("user", "one\ntwo\nthree"),
            ChatMessage("assistant", "yes"),
            ChatMessage("user", "now"),
        )
    )
    assert request.sampling == SamplingParams(7, 0.5, 0.9, 40, ("a", "b"), None)
    assert dataplane.users[-1] == "u-1"


def test_neutral_values_of_what_is_not_supported_pass(client: Anthropic, dataplane: FakeDataPlane) -> None:
    ask(
        client,
        tools=[],
        thinking={"type": "disabled"},
        service_tier="auto",
        system="x",
        tool_choice={"type": "none"},
    )
    assert dataplane.generations[-1].sampling == SamplingParams(max_tokens=10)


def test_an_answer_can_be_sent_back(client: Anthropic) -> None:
    answer = ask(client)
    again = client.messages.create(model="echo", max_tokens=10, messages=[HELLO, answer.to_param(), HELLO])
    assert text_of(again) == "hello wide world " * 3


def test_a_schema_becomes_a_grammar(client: Anthropic, dataplane: FakeDataPlane) -> None:
    ask(client, output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}})
    expected = Grammar(GrammarKind.JSON_SCHEMA, '{"type": "object"}', "output_config.format")
    assert dataplane.generations[-1].grammar == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "greater than 0"),
        ({"temperature": 1.5}, "less than or equal to 1"),
        ({"top_p": 0}, "top_p"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"stop_sequences": ["x"] * 17}, "at most 16"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            "'tool_result', not \"image\"",
        ),
        ({"messages": [HELLO, {"role": "assistant", "content": "("}]}, "prefill is not supported"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"output_config": {"effort": "max"}}, "output_config.effort"),
        ({"stop": "x"}, "unknown field stop"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, options: dict[str, object], words: str) -> None:
    response = http.post("/v1/messages", json=body(**options), headers={"x-request-id": "r-7"})
    assert response.status_code == 400
    reply = response.json()
    assert (reply["type"], reply["error"]["type"]) == ("error", "invalid_request_error")
    assert words in reply["error"]["message"]
    assert reply["request_id"] == "r-7"


@pytest.mark.parametrize(
    ("model", "content", "error", "kind"),
    [
        ("nobody", "x", anthropic.NotFoundError, "not_found_error"),
        ("mini", "x", anthropic.BadRequestError, "invalid_request_error"),
        ("broken", "x", anthropic.ServiceUnavailableError, "api_error"),
        ("echo", "overload", anthropic.OverloadedError, "overloaded_error"),
        ("echo", "word " * 65, anthropic.BadRequestError, "invalid_request_error"),
        ("echo", "break", anthropic.InternalServerError, "api_error"),
        ("echo", "crash", anthropic.InternalServerError, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_any_output(
    client: Anthropic, model: str, content: str, error: type[anthropic.APIStatusError], kind: str, stream: bool
) -> None:
    with pytest.raises(error) as caught:
        client.messages.create(
            model=model, max_tokens=9, messages=[{"role": "user", "content": content}], stream=stream
        )
    assert caught.value.type == kind
    assert "secret" not in caught.value.message


def test_a_time_limit_has_its_own_error(http: httpx.Client) -> None:
    late = http.post("/v1/messages", json=body(messages=said("silent")), headers={"x-request-timeout": "0.05"})
    assert (late.status_code, late.json()["error"]["type"]) == (504, "timeout_error")


def test_unknown_paths_below_in_the_same_shape(http: httpx.Client) -> None:
    missing = http.post("/v1/messages/count_tokens", json=body())
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
    assert http.get("/v1/messages").json()["error"]["type"] == "invalid_request_error"


def test_an_error_after_the_first_words_is_the_last_event(client: Anthropic) -> None:
    heard: list[str] = []
    stream = client.messages.create(
        model="echo", max_tokens=9, messages=[{"role": "user", "content": "good break bad"}], stream=True
    )
    with pytest.raises(anthropic.APIStatusError, match="the engine broke"):
        heard.extend(event.type for event in stream)
    assert heard[-1] == "content_block_delta"


def test_leaving_a_stream_stops_the_generation(client: Anthropic, dataplane: FakeDataPlane) -> None:
    stream = client.messages.create(
        model="echo", max_tokens=9, messages=[{"role": "user", "content": "forever"}], stream=True
    )
    next(iter(stream))
    assert dataplane.num_active == 1
    stream.close()
    wait_until(lambda: dataplane.num_active == 0, timeout_s=2)
