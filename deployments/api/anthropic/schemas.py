"""The body of a call to ``/v1/messages``."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from deployments.api.http.generation import Order
from deployments.api.http.parsing import WireModel, only, string_or_list
from deployments.api.http.sampling import MAX_STOP_STRINGS, NonEmpty, sampling
from models.errors import UnsupportedOptionError
from models.types import ChatMessage, Conversation, Grammar, GrammarKind


class CacheControl(WireModel):
    """A hint that changes nothing: prompts that begin alike share their pages by themselves."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(WireModel):
    """A piece of text; no other kind of content is supported."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: Annotated[None, only([])] = None


Text = Annotated[
    tuple[TextBlock, ...],
    string_or_list(lambda text: {"type": "text", "text": text}, str | list[TextBlock]),
]


class Turn(WireModel):
    """One turn, or a part of it: turns of the same role that follow each other are one."""

    role: Literal["user", "assistant", "system"]
    content: Text = Field(min_length=1)


class Metadata(WireModel):
    """``user_id``: on whose behalf the call is made."""

    user_id: str | None = None


class OutputFormat(WireModel):
    """A JSON schema that the text has to match."""

    type: Literal["json_schema"]
    json_schema: dict[str, JsonValue] = Field(alias="schema")


class OutputConfig(WireModel):
    """What kind of text is wanted."""

    format: OutputFormat | None = None
    effort: Annotated[None, only()] = None

    def grammar(self) -> Grammar | None:
        """None for plain text."""
        if self.format is None:
            return None
        return Grammar(GrammarKind.JSON_SCHEMA, json.dumps(self.format.json_schema), "output_config.format")


class MessagesRequest(WireModel):
    """The last group is refused unless neutral; ``cache_control`` and ``service_tier`` change nothing."""

    model: str
    messages: tuple[Turn, ...] = Field(min_length=1)
    max_tokens: int = Field(gt=0)
    system: Text = ()
    stop_sequences: tuple[NonEmpty, ...] | None = Field(default=None, max_length=MAX_STOP_STRINGS)
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    stream: bool | None = None
    metadata: Metadata | None = None
    output_config: OutputConfig | None = None

    cache_control: CacheControl | None = None
    service_tier: Literal["auto", "standard_only"] | None = None

    container: Annotated[None, only()] = None
    context_management: Annotated[None, only()] = None
    diagnostics: Annotated[None, only()] = None
    inference_geo: Annotated[None, only()] = None
    mcp_servers: Annotated[None, only([])] = None
    speed: Annotated[None, only("standard")] = None
    thinking: Annotated[None, only({"type": "disabled"})] = None
    tool_choice: Annotated[None, only({"type": "none"})] = None
    tools: Annotated[None, only([])] = None

    @model_validator(mode="after")
    def _ends_with_the_user(self) -> Self:
        if self.messages[-1].role == "assistant":
            raise UnsupportedOptionError(
                "messages: the last turn is the assistant's, and prefill is not supported",
                remedy="end with a turn of the user",
                param="messages",
            )
        return self

    @property
    def user(self) -> str | None:
        """The end user, if the body names one."""
        return self.metadata.user_id if self.metadata else None

    def order(self) -> Order:
        """What the data plane is asked to do."""
        chosen = sampling(self.max_tokens, self.temperature, self.top_p, self.top_k, self.stop_sequences or ())
        grammar = self.output_config.grammar() if self.output_config else None
        return Order(self.model, (Conversation(self._turns()),), chosen, grammar)

    def _turns(self) -> tuple[ChatMessage, ...]:
        blocks = [("system", block) for block in self.system]
        blocks += [(message.role, block) for message in self.messages for block in message.content]
        return tuple(
            ChatMessage(role, "\n".join(block.text for _, block in turn))
            for role, turn in groupby(blocks, key=lambda pair: pair[0])
        )
