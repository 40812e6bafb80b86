"""The openai client is the judge of the OpenAI protocol."""

from __future__ import annotations

import httpx
import numpy as np
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field

from tests.integration.cluster import Cluster

CHAT = "smollm2-135m"


def ask(client: OpenAI, question: str, **options: object) -> str:
    reply = client.chat.completions.create(  # type: ignore[call-overload]
        model=CHAT, messages=[{"role": "user", "content": question}], **options
    )
    return str(reply.choices[0].message.content)


def test_chat_answers_with_usage_and_reason(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        max_tokens=30,
    )
    assert "Paris" in (reply.choices[0].message.content or "")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == "smollm2-135m@1"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_stream_gives_the_same_text_in_pieces(client: OpenAI) -> None:
    question = "Name three oceans."
    whole = ask(client, question, temperature=0, max_tokens=24)
    pieces, usage, reason = [], None, None
    for chunk in client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            reason = choice.finish_reason or reason
    assert "".join(pieces) == whole
    assert len([piece for piece in pieces if piece]) > 3
    assert reason in ("stop", "length")
    assert usage is not None
    assert usage.completion_tokens <= 24


def test_seed_repeats_a_sampled_answer(client: OpenAI) -> None:
    first, second, other = (
        ask(client, "Invent a name for a ship.", temperature=1.2, seed=seed, max_tokens=16) for seed in (5, 5, 6)
    )
    assert first == second
    assert first != other


def test_stop_string_ends_the_text_before_it(client: OpenAI) -> None:
    full = ask(client, "Count from one to five.", temperature=0, max_tokens=24)
    word = full.split()[3]
    cut = ask(client, "Count from one to five.", temperature=0, max_tokens=24, stop=[word])
    assert cut == full[: full.index(word)]


class Sailor(BaseModel):
    """A form for an answer."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def test_a_form_is_parsed(client: OpenAI) -> None:
    reply = client.chat.completions.parse(
        model=CHAT,
        messages=[{"role": "user", "content": "Describe a sailor."}],
        response_format=Sailor,
        max_tokens=100,
    )
    assert isinstance(reply.choices[0].message.parsed, Sailor)


def test_a_model_without_tools_says_so(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="chat template has no tools") as caught:
        ask(client, "How deep?", tools=[{"type": "function", "function": {"name": "depth"}}])
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "tools")


def test_completion_continues_text(client: OpenAI) -> None:
    reply = client.completions.create(
        model=CHAT, prompt=["Once upon a time", "The sea is"], temperature=0, max_tokens=8
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert all(choice.text for choice in reply.choices)


def test_both_minilm_versions_agree(client: OpenAI) -> None:
    texts = ["Ships carry cargo.", "A cat sleeps on the sofa.", "Der Hafen liegt im Norden."]
    first, second = (
        [item.embedding for item in client.embeddings.create(model=model, input=texts).data]
        for model in ("minilm@1", "minilm@2")
    )
    for left, right in zip(first, second, strict=True):
        assert np.linalg.norm(left) == pytest.approx(1, abs=1e-5)
        assert np.dot(left, right) > 0.99


def test_embedding_formats_agree(client: OpenAI) -> None:
    floats = client.embeddings.create(model="minilm@1", input="hold", encoding_format="float").data[0].embedding
    decoded = client.embeddings.create(model="minilm@1", input="hold").data[0].embedding
    assert floats == pytest.approx(decoded, abs=1e-6)


def test_models_are_listed_with_their_versions(client: OpenAI) -> None:
    ids = {model.id for model in client.models.list()}
    assert {"minilm", "minilm@1", "minilm@2", "smollm2-135m", "smollm2-135m@1"} <= ids
    assert client.models.retrieve("minilm@2").id == "minilm@2"


def test_a_bare_name_leads_to_the_newest_version(client: OpenAI) -> None:
    assert client.embeddings.create(model="minilm", input="x").model == "minilm@2"


def test_unknown_model_names_those_that_are_there(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="smollm2-135m@1") as caught:
        client.embeddings.create(model="minlm", input="x")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("options", "param", "words"),
    [
        ({"extra_body": {"temprature": 1}}, "temprature", "temperature"),
        ({"n": 2}, "n", "not supported"),
        ({"temperature": 3}, "temperature", "2"),
        ({"max_tokens": 5000}, "max_tokens", "2048"),
        ({"logprobs": True}, "logprobs", "not supported"),
    ],
)
def test_bad_options_name_field_and_limit(
    client: OpenAI, options: dict[str, object], param: str, words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        ask(client, "hello", **options)
    assert caught.value.param == param


def test_prompt_beyond_the_context_names_the_limit(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="2048"):
        ask(client, "word " * 4000)


def test_wrong_task_says_what_the_model_does(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="embed"):
        client.chat.completions.create(model="minilm", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.BadRequestError, match="generate"):
        client.embeddings.create(model=CHAT, input="hi")


def test_request_id_comes_back(cluster: Cluster) -> None:
    reply = httpx.get(f"{cluster.base_url}/v1/models", headers={"x-request-id": "abc-123"}, timeout=30)
    assert reply.headers["x-request-id"] == "abc-123"
