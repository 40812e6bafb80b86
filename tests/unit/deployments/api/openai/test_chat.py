from __future__ import annotations

import json
from typing import cast

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionUserMessageParam

from models.types import ChatMessage, Conversation, SamplingParams
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import wait_until

HELLO: ChatCompletionUserMessageParam = {"role": "user", "content": "hello wide world"}


def ask(client: OpenAI, **options: object) -> ChatCompletion:
    return client.chat.completions.create(model="echo", messages=[HELLO], **options)  # type: ignore[call-overload, no-any-return]


def test_a_whole_answer(client: OpenAI) -> None:
    answer = ask(client)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == "echo@2"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "hello wide world ")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 3, 6)


def test_a_stream_has_the_same_text_then_its_end(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="echo@1", messages=[HELLO], stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello wide world "
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", None, None, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {chunk.model for chunk in chunks} == {"echo@1"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_with_usage_ends_with_a_chunk_of_it(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="echo", messages=[HELLO], stream=True, stream_options={"include_usage": True}, max_tokens=2
    )
    *chunks, last = list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 5


def test_a_stream_is_written_as_events_and_done(http: httpx.Client) -> None:
    body = {"model": "echo", "messages": [HELLO], "stream": True}
    response = http.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, last, rest = response.text.split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    assert all("usage" not in json.loads(event.removeprefix("data: ")) for event in events)


def test_messages_and_sampling_reach_the_engine(client: OpenAI, dataplane: FakeDataPlane) -> None:
    client.chat.completions.create(
        model="echo",
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "now"},
        ],
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        stop=["a", "b"],
        seed=11,
        extra_body={"top_k": 40},
    )
    request = dataplane.generations[-1]
    assert request.prompt == Conversation(
        (ChatMessage("system", "be\nbrief"), ChatMessage("assistant", "yes"), ChatMessage("user", "now"))
    )
    assert request.sampling == SamplingParams(7, 0.5, 0.9, 40, ("a", "b"), 11)


def test_neutral_values_of_what_is_not_supported_pass(client: OpenAI, dataplane: FakeDataPlane) -> None:
    ask(
        client,
        n=1,
        presence_penalty=0,
        frequency_penalty=0.0,
        logprobs=False,
        logit_bias={},
        response_format={"type": "text"},
        modalities=["text"],
        tools=[],
        tool_choice="none",
        store=False,
        user="someone",
        metadata={"a": "b"},
        stop=None,
        temperature=None,
        extra_body={"top_k": -1},
    )
    assert dataplane.generations[-1].sampling == SamplingParams()


def test_an_answer_can_be_sent_back_as_a_message(client: OpenAI) -> None:
    message = cast("ChatCompletionMessageParam", ask(client).choices[0].message.model_dump())
    answer = client.chat.completions.create(model="echo", messages=[HELLO, message])
    assert answer.choices[0].message.content == "hello wide world hello wide world "


@pytest.mark.parametrize(
    ("options", "param", "said"),
    [
        ({"n": 2}, "n", "n: 2 is not supported (leave it out or send 1)"),
        ({"n": True}, "n", "true is not supported"),
        ({"logprobs": True}, "logprobs", "true"),
        ({"presence_penalty": 0.5}, "presence_penalty", "0.5"),
        ({"modalities": ["text", "audio"]}, "modalities", "audio"),
        ({"audio": {"voice": "x"}}, "audio", "leave it out"),
        ({"temprature": 1}, "temprature", "did you mean temperature?"),
        ({"stream_options": {"include_usages": True}}, "stream_options.include_usages", "include_usage?"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream=true"),
        ({"temperature": 2.5}, "temperature", "2.5"),
        ({"temperature": "0.5"}, "temperature", "number"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"top_k": -2}, "top_k", "-2"),
        ({"max_tokens": 0}, "max_tokens", "greater than 0"),
        ({"max_tokens": 2.0}, "max_tokens", "integer"),
        ({"max_tokens": 2, "max_completion_tokens": 3}, "max_tokens", "contradicts"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"stop": ["x"] * 17}, "stop", "at most 16"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0].role", "'developer'"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "required"),
        ({"messages": [HELLO, {"role": "user", "content": None}]}, "messages[1].content", "required"),
        ({"messages": [{**HELLO, "name": "Ann"}]}, "messages[0].name", "Ann"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content", "image_url"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content", "Part 0"),
        ({"model": 3}, "model", "string"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, options: dict[str, object], param: str, said: str) -> None:
    response = http.post("/v1/chat/completions", json={"model": "echo", "messages": [HELLO], **options})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert said in error["message"]


def test_unsupported_options_have_their_own_code(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, n=3)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "n")


@pytest.mark.parametrize(
    ("model", "content", "status", "code"),
    [
        ("nobody", "x", 404, "model_not_found"),
        ("mini", "x", 400, "wrong_task"),
        ("broken", "x", 503, "model_unavailable"),
        ("echo", "overload", 429, "overloaded"),
        ("echo", "word " * 65, 400, "context_length_exceeded"),
        ("echo", "break", 500, "engine_error"),
        ("echo", "crash", 500, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_any_output(
    client: OpenAI, model: str, content: str, status: int, code: str | None, stream: bool
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}], stream=stream)
    assert caught.value.status_code == status
    assert caught.value.code == code
    assert "secret" not in caught.value.message


def test_unavailable_and_overloaded_say_when_to_come_back(http: httpx.Client) -> None:
    down = http.post("/v1/chat/completions", json={"model": "broken", "messages": [HELLO]})
    full = {"role": "user", "content": "overload"}
    busy = http.post("/v1/chat/completions", json={"model": "echo", "messages": [full]})
    assert (down.headers["retry-after"], busy.headers["retry-after"]) == ("3", "1")


def test_an_error_after_the_first_words_is_the_last_event(client: OpenAI, http: httpx.Client) -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": "good break bad"}], "stream": True}
    response = http.post("/v1/chat/completions", json=body)
    first, last, rest = response.text.split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["content"] == "good "
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_error"
    assert rest == ""
    with pytest.raises(openai.APIError, match="the engine broke"):
        list(client.chat.completions.create(**body))  # type: ignore[call-overload]


def test_leaving_a_stream_stops_the_generation(client: OpenAI, dataplane: FakeDataPlane) -> None:
    stream = client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "forever"}], stream=True
    )
    next(iter(stream))
    assert dataplane.num_active == 1
    stream.close()
    wait_until(lambda: dataplane.num_active == 0, timeout_s=2)
