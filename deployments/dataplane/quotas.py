"""What a request may use at most, what it did use, and the seam to whoever keeps the limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from deployments.dataplane.call import Call, Tally
from models.types import (
    ChatMessage,
    Conversation,
    EmbeddingRequest,
    GenerationRequest,
    ModelCard,
    Prompt,
    Usage,
)

# What a chat template may put around a conversation and around each of its messages, in tokens.
_TEMPLATE_TOKENS = 256
_MESSAGE_TOKENS = 16
_SPECIAL_TOKENS = 8


@dataclass(slots=True)
class Spending:
    """What one request to one model has used so far; the call's tally has the sum of all of them."""

    tally: Tally
    input_tokens: int = 0
    output_tokens: int = 0
    answered: bool = field(default=False)

    def add(self, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """The replica has answered, and counted so much more."""
        self.answered = True
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.tally.input_tokens += input_tokens
        self.tally.output_tokens += output_tokens

    def set(self, usage: Usage) -> None:
        """The replica's final count."""
        self.add(usage.prompt_tokens - self.input_tokens, usage.completion_tokens - self.output_tokens)

    @property
    def usage(self) -> Usage:
        return Usage(self.input_tokens, self.output_tokens)


class Quotas(Protocol):
    """The limits of keys, tenants and models."""

    def reserve(self, call: Call, model: str, at_most: Usage) -> AbstractAsyncContextManager[Spending]:
        """Hold ``at_most`` of every limit during the body, and settle what was spent at its end.

        QuotaExceededError when a limit does not allow it. A request that no replica answered uses nothing.
        """


class NoQuotas:
    """Everything is allowed."""

    @asynccontextmanager
    async def reserve(self, call: Call, model: str, at_most: Usage) -> AsyncIterator[Spending]:  # noqa: ARG002
        yield Spending(call.tally)


@dataclass(frozen=True, slots=True)
class Most(Usage):
    """Of each kind of tokens the most that there can be, which no request can have of both: ``longest`` in sum."""

    longest: int | None = None

    @property
    def total_tokens(self) -> int:
        total = self.prompt_tokens + self.completion_tokens
        return total if self.longest is None else min(total, self.longest)


def most_of_generation(request: GenerationRequest, card: ModelCard | None) -> Usage:
    """An upper bound of a generation's tokens: no tokenizer makes more tokens than there are bytes.

    Of most prompts it makes far fewer, which leaves as many more to the answer.
    """
    longest = card.max_model_len if card else None
    prompt = _prompt_bound(request.prompt)
    output = request.sampling.max_tokens
    if longest is None:
        return Usage(prompt, output or 0)
    return Most(min(prompt, longest), longest if output is None else min(output, longest), longest)


def most_of_embedding(request: EmbeddingRequest, card: ModelCard | None) -> Usage:
    """An upper bound of an embedding request's tokens."""
    bounds = [_prompt_bound(text) for text in request.inputs]
    if card is not None and card.max_model_len is not None:
        bounds = [min(bound, card.max_model_len) for bound in bounds]
    return Usage(sum(bounds))


def _prompt_bound(prompt: Prompt) -> int:
    if isinstance(prompt, Conversation):
        tools = _num_bytes(repr(prompt.tools)) if prompt.tools else 0
        return _TEMPLATE_TOKENS + tools + sum(map(_message_bound, prompt.messages))
    return _SPECIAL_TOKENS + _num_bytes(prompt) if isinstance(prompt, str) else len(prompt)


def _message_bound(message: ChatMessage) -> int:
    calls = _num_bytes(repr(message.tool_calls)) if message.tool_calls else 0
    return _MESSAGE_TOKENS + calls + _num_bytes(message.content)


def _num_bytes(text: str) -> int:
    """Of its UTF-8, roughly: what is not ASCII counts with the most that it can take."""
    return len(text) if text.isascii() else 4 * len(text)
