"""Upper bounds of what a request can use: too high is refused too early, too low is overspent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.dataplane.call import Tally
from deployments.dataplane.quotas import Most, NoQuotas, Spending, most_of_embedding, most_of_generation
from deployments.limits.amounts import Price
from models.types import (
    ChatMessage,
    Conversation,
    EmbeddingRequest,
    GenerationRequest,
    ModelCard,
    Prompt,
    SamplingParams,
    Task,
    Usage,
    VersionId,
)
from tests.unit.deployments.planes import a_call

CARD = ModelCard(VersionId("m", "1"), Task.GENERATE, "transformers", created_unix_s=0, max_model_len=512)
ENDLESS = replace(CARD, max_model_len=None)


def most(prompt: Prompt, max_tokens: int | None = None, card: ModelCard | None = CARD) -> Usage:
    return most_of_generation(GenerationRequest("r", prompt, SamplingParams(max_tokens=max_tokens)), card)


def test_tokens_are_counted_exactly_and_texts_by_their_bytes() -> None:
    assert most((1, 2, 3), 10) == Most(3, 10, longest=512)
    assert most("a b", 10).prompt_tokens == 3 + 8  # and special tokens
    assert most("äöü", 10).prompt_tokens == 12 + 8


def test_no_more_than_the_models_context() -> None:
    assert most("a" * 5000, 10_000) == Most(512, 512, longest=512)
    assert most("a" * 5000, 10_000).total_tokens == 512
    assert most((1, 2, 3), 10).total_tokens == 13
    assert most("a" * 5000, 10_000, ENDLESS) == Usage(5008, 10_000)
    assert most((1, 2, 3), card=None) == Usage(3, 0)


@given(
    st.integers(1, 512), st.integers(0, 512), st.integers(0, 9), st.integers(0, 9), st.sampled_from([None, 100])
)
def test_no_answer_costs_more_than_is_reserved(
    prompt: int, output: int, of_input: int, of_output: int, max_tokens: int | None
) -> None:
    """Of prompts whose tokens have up to four bytes, and answers up to the end of the context."""
    price = Price(input=Decimal(of_input), output=Decimal(of_output))
    used = Usage(prompt, min(output, 512 - prompt, 512 if max_tokens is None else max_tokens))
    reserved = most("abcd" * prompt, max_tokens)
    assert price.cost_nano(reserved) >= price.cost_nano(used)
    assert 512 >= reserved.total_tokens >= used.total_tokens


def test_a_conversation_counts_its_messages_and_its_template() -> None:
    short = Conversation((ChatMessage("user", "hi"),))
    assert most(short, 1, ENDLESS).prompt_tokens == 256 + 16 + 2
    longer = Conversation((*short.messages, ChatMessage("assistant", "ho")))
    assert most(longer, 1, ENDLESS).prompt_tokens == 256 + 2 * (16 + 2)


def test_each_input_is_cut_at_the_models_length() -> None:
    request = EmbeddingRequest(("a" * 9000, (1, 2), "b"))
    assert most_of_embedding(request, CARD) == Usage(512 + 2 + 9)
    assert most_of_embedding(request, None) == Usage(9008 + 2 + 9)


@given(st.text(max_size=300))
def test_no_text_has_more_tokens_than_its_bound(text: str) -> None:
    """Of a tokenizer that makes one of every byte, and adds its special tokens."""
    assert most(text, 1, ENDLESS).prompt_tokens >= len(text.encode("utf-8", "surrogatepass")) + 2


@pytest.mark.parametrize("final", [Usage(5, 3), Usage(4, 1)])
def test_the_final_count_replaces_what_was_counted_on_the_way(final: Usage) -> None:
    tally = Tally()
    spending = Spending(tally)
    assert not spending.answered
    spending.add(5, 2)
    spending.set(final)
    assert (spending.usage, spending.answered) == (final, True)
    assert (tally.input_tokens, tally.output_tokens) == (final.prompt_tokens, final.completion_tokens)


async def test_without_quotas_all_comes_in_and_is_counted() -> None:
    call = a_call()
    async with NoQuotas().reserve(call, "m", Usage(10**9)) as spending:
        spending.add(1, 2)
    assert (call.tally.input_tokens, call.tally.output_tokens, call.tally.charges) == (1, 2, set())
