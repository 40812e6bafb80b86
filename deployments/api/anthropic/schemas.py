"""The body of a call to ``/v1/messages``."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from deployments.api.anthropic.blocks import CacheControl, Text, Turn, check_turns, conversation
from deployments.api.anthropic.tools import ClientTool, ToolChoice, tools_of
from deployments.api.http.generation import Order
from deployments.api.http.parsing import WireModel, only
from deployments.api.http.sampling import MAX_STOP_STRINGS, NonEmpty, sampling
from deployments.api.http.tools import MAX_TOOLS
from models.errors import UnsupportedOptionError
from models.types import Conversation, Grammar, GrammarKind


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
    tools: tuple[ClientTool, ...] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None

    cache_control: CacheControl | None = None
    service_tier: Literal["auto", "standard_only"] | None = None

    container: Annotated[None, only()] = None
    context_management: Annotated[None, only()] = None
    diagnostics: Annotated[None, only()] = None
    inference_geo: Annotated[None, only()] = None
    mcp_servers: Annotated[None, only([])] = None
    speed: Annotated[None, only("standard")] = None
    thinking: Annotated[None, only({"type": "disabled"})] = None

    @model_validator(mode="after")
    def _is_a_conversation(self) -> Self:
        check_turns(self.messages)
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
        tools = tools_of(self.tools or (), self.tool_choice)
        prompt = Conversation(conversation(self.system, self.messages), tools)
        return Order(self.model, (prompt,), chosen, grammar)
