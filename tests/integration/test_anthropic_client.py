"""The anthropic client is the judge of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import Message, MessageParam
from openai import OpenAI

from tests.integration.cluster import Cluster

CHAT = "smollm2-135m"
QUESTION: MessageParam = {"role": "user", "content": "What is the capital of France?"}
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def judge(cluster: Cluster) -> Iterator[Anthropic]:
    with Anthropic(base_url=cluster.base_url, api_key="none", max_retries=0, timeout=120) as opened:
        yield opened


def text_of(message: Message) -> str:
    (block,) = message.content
    assert block.type == "text"
    return block.text


def test_a_message_is_what_chat_answers(judge: Anthropic, client: OpenAI) -> None:
    message = judge.messages.create(model=CHAT, max_tokens=30, messages=[QUESTION], extra_body=GREEDY)
    chat = client.chat.completions.create(
        model=CHAT, max_tokens=30, messages=[{"role": "user", "content": str(QUESTION["content"])}], temperature=0
    )
    assert "Paris" in text_of(message)
    assert text_of(message) == chat.choices[0].message.content
    assert chat.usage is not None
    assert message.usage.input_tokens == chat.usage.prompt_tokens
    assert message.usage.output_tokens == chat.usage.completion_tokens
    assert (message.stop_reason, message.model) == ("end_turn", "smollm2-135m@1")


def test_the_stream_builds_the_same_message_and_knows_its_input_at_once(judge: Anthropic) -> None:
    whole = judge.messages.create(model=CHAT, max_tokens=24, messages=[QUESTION], extra_body=GREEDY)
    with judge.messages.stream(model=CHAT, max_tokens=24, messages=[QUESTION], extra_body=GREEDY) as stream:
        first = next(iter(stream))
        num_deltas = sum(event.type == "text" for event in stream)
        built = stream.get_final_message()
    assert first.type == "message_start"
    assert first.message.usage.input_tokens == whole.usage.input_tokens
    assert text_of(built) == text_of(whole)
    assert num_deltas > 3
    assert (built.usage, built.stop_reason) == (whole.usage, whole.stop_reason)


def test_a_stop_sequence_is_named(judge: Anthropic) -> None:
    full = text_of(judge.messages.create(model=CHAT, max_tokens=24, messages=[QUESTION], extra_body=GREEDY))
    word = full.split()[3]
    cut = judge.messages.create(
        model=CHAT, max_tokens=24, messages=[QUESTION], stop_sequences=["never", word], extra_body=GREEDY
    )
    assert text_of(cut) == full[: full.index(word)]
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", word)


def test_a_token_limit_is_named(judge: Anthropic) -> None:
    cut = judge.messages.create(model=CHAT, max_tokens=2, messages=[QUESTION], extra_body=GREEDY)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 2)


def test_a_system_prompt_changes_the_prompt(judge: Anthropic) -> None:
    plain = judge.messages.create(model=CHAT, max_tokens=2, messages=[QUESTION])
    with_system = judge.messages.create(
        model=CHAT, max_tokens=2, messages=[QUESTION], system="You are a terse lighthouse keeper."
    )
    assert with_system.usage.input_tokens != plain.usage.input_tokens


def test_errors_are_the_clients_own(judge: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="smollm2-135m@1") as missing:
        judge.messages.create(model="claude", max_tokens=2, messages=[QUESTION])
    assert missing.value.type == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="2048"):
        judge.messages.create(model=CHAT, max_tokens=5000, messages=[QUESTION])
    with pytest.raises(anthropic.BadRequestError, match="this model's chat template has no tools"):
        judge.messages.create(
            model=CHAT,
            max_tokens=2,
            messages=[QUESTION],
            tools=[{"name": "f", "input_schema": {"type": "object"}}],
        )
