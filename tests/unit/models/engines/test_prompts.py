"""Prompts become token ids, or an error that names the field and the limit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engines.prompts import PromptEncoder
from models.errors import ContextLengthError, InvalidRequestError, UnsupportedOptionError
from models.types import ChatMessage, Conversation, Prompt, SamplingParams
from tests.unit.models.engines.tiny_llama import tiny_tokenizer

MAX_MODEL_LEN = 48
TOKENIZER = tiny_tokenizer()
ENCODER = PromptEncoder(TOKENIZER, len(TOKENIZER), MAX_MODEL_LEN)


def chat(*turns: tuple[str, str]) -> Conversation:
    return Conversation(tuple(ChatMessage(role, content) for role, content in turns))


@given(st.text(min_size=1, max_size=7))
def test_text_is_encoded_without_loss(text: str) -> None:
    assert TOKENIZER.decode(ENCODER.encode(text)) == text


def test_a_conversation_goes_through_the_chat_template() -> None:
    ids = ENCODER.encode(chat(("system", "Be short."), ("user", "Hello")))
    assert TOKENIZER.decode(ids) == "[system] Be short.\n[user] Hello\n[assistant] "


@given(st.lists(st.integers(0, len(TOKENIZER) - 1), min_size=1, max_size=MAX_MODEL_LEN - 1))
def test_token_ids_are_taken_as_they_are(ids: list[int]) -> None:
    assert ENCODER.encode(tuple(ids)) == ids


@pytest.mark.parametrize("token_id", [-1, len(TOKENIZER)])
def test_an_id_outside_the_vocabulary_is_refused(token_id: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"token id {token_id} is outside the vocabulary of") as refused:
        ENCODER.encode((1, token_id))
    assert refused.value.param == "prompt"


@pytest.mark.parametrize("prompt", ["", ()])
def test_an_empty_prompt_is_refused(prompt: Prompt) -> None:
    with pytest.raises(InvalidRequestError, match="the prompt is empty"):
        ENCODER.encode(prompt)


@pytest.mark.parametrize(("prompt", "param"), [("\ud83d", "prompt"), (chat(("user", "a\udc00b")), "messages")])
def test_text_that_is_no_unicode_is_refused(prompt: Prompt, param: str) -> None:
    """JSON can carry half of a surrogate pair; no tokenizer can."""
    with pytest.raises(InvalidRequestError, match="surrogate") as refused:
        ENCODER.encode(prompt)
    assert refused.value.param == param


def test_the_longest_prompt_leaves_room_for_one_token() -> None:
    assert len(ENCODER.encode((1,) * (MAX_MODEL_LEN - 1))) == MAX_MODEL_LEN - 1


@pytest.mark.parametrize(
    ("prompt", "param"), [((1,) * MAX_MODEL_LEN, "prompt"), (chat(("user", "€" * 100)), "messages")]
)
def test_a_longer_prompt_is_refused_with_the_limit(prompt: Prompt, param: str) -> None:
    with pytest.raises(ContextLengthError, match=r"the prompt has \d+ tokens, .* holds 48 including") as refused:
        ENCODER.encode(prompt)
    assert refused.value.param == param


@pytest.mark.parametrize(("asked", "given"), [(None, 28), (1, 1), (28, 28)])
def test_what_fits_after_the_prompt_may_be_asked_for(asked: int | None, given: int) -> None:
    assert ENCODER.max_new_tokens(20, SamplingParams(max_tokens=asked)) == given


def test_more_than_fits_is_refused_with_what_would() -> None:
    with pytest.raises(
        ContextLengthError, match=r"20 prompt tokens and max_tokens 29 .* to 28 or less"
    ) as refused:
        ENCODER.max_new_tokens(20, SamplingParams(max_tokens=29))
    assert refused.value.param == "max_tokens"


def test_messages_that_the_template_refuses_are_the_callers_fault() -> None:
    with pytest.raises(
        InvalidRequestError, match="template refuses these messages: unknown role pirate"
    ) as refused:
        ENCODER.encode(chat(("pirate", "Arr")))
    assert refused.value.param == "messages"


def test_a_model_without_template_takes_no_conversation() -> None:
    encoder = PromptEncoder(tiny_tokenizer(chat_template=None), len(TOKENIZER), MAX_MODEL_LEN)
    with pytest.raises(UnsupportedOptionError, match="no chat template") as refused:
        encoder.encode(chat(("user", "Hello")))
    assert refused.value.param == "messages"


def test_several_threads_may_encode_at_once() -> None:
    prompts: list[Prompt] = [text for index in range(50) for text in (f"text {index}", chat(("user", str(index))))]
    encode: Callable[[Prompt], list[int]] = ENCODER.encode
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(encode, prompts)) == [encode(prompt) for prompt in prompts]
