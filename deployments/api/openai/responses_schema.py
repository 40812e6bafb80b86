"""The body of a call to ``/v1/responses``."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from deployments.api.http.generation import Order
from deployments.api.http.parsing import WireModel, only, string_or_list
from deployments.api.http.sampling import sampling
from models.errors import InvalidRequestError
from models.types import ChatMessage, Conversation, Grammar, GrammarKind


class ContentPart(WireModel):
    """Text that goes in, or that came out of an earlier response; no other kind of content is supported."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Annotated[None, only([])] = None
    logprobs: Annotated[None, only([])] = None


class InputMessage(WireModel):
    """One turn, as written by a caller or as it stood in the output of an earlier response.

    ``id``, ``status`` and ``phase`` belong to the latter and change nothing.
    """

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Annotated[
        tuple[ContentPart, ...],
        Field(min_length=1),
        string_or_list(
            lambda text: {"type": "input_text", "text": text},
            str | Annotated[list[ContentPart], Field(min_length=1)],
        ),
    ]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None

    def turn(self) -> ChatMessage:
        """In the words of chat templates, which know no developer."""
        role = "system" if self.role == "developer" else self.role
        return ChatMessage(role, "\n".join(part.text for part in self.content))


class TextFormat(WireModel):
    """The form of the text; ``name``, ``description`` and ``strict`` change nothing."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    json_schema: dict[str, JsonValue] | None = Field(default=None, alias="schema")
    description: str | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _schema_with_its_type(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise InvalidRequestError(
                f"text.format.schema and the type {self.type!r} do not go together",
                remedy='send {"type": "json_schema", "name": ..., "schema": ...}',
                param="text.format.schema",
            )
        return self

    def grammar(self) -> Grammar | None:
        """None for plain text."""
        if self.type == "text":
            return None
        return Grammar(GrammarKind.JSON_SCHEMA, json.dumps(self.json_schema or {"type": "object"}), "text.format")


class TextOptions(WireModel):
    """What kind of text is wanted."""

    format: TextFormat | None = None
    verbosity: Annotated[None, only("medium")] = None


class ResponseRequest(WireModel):
    """Nothing is stored: a conversation is sent whole each time. The last group is refused unless neutral."""

    model: str
    input: Annotated[
        tuple[InputMessage, ...],
        Field(min_length=1),
        string_or_list(
            lambda text: {"role": "user", "content": text},
            str | Annotated[list[InputMessage], Field(min_length=1)],
        ),
    ]
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, gt=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stream: bool | None = None
    text: TextOptions | None = None

    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    user: str | None = None

    background: Annotated[None, only(False)] = None
    context_management: Annotated[None, only([])] = None
    conversation: Annotated[None, only()] = None
    include: Annotated[None, only([], ["reasoning.encrypted_content"])] = None
    max_tool_calls: Annotated[None, only()] = None
    moderation: Annotated[None, only()] = None
    previous_response_id: Annotated[None, only()] = None
    prompt: Annotated[None, only()] = None
    prompt_cache_options: Annotated[None, only()] = None
    prompt_cache_retention: Annotated[None, only("in_memory")] = None
    reasoning: Annotated[None, only({}, {"effort": "none"})] = None
    service_tier: Annotated[None, only("auto", "default")] = None
    store: Annotated[None, only(False)] = None
    stream_options: Annotated[None, only({}, {"include_obfuscation": False})] = None
    tool_choice: Annotated[None, only("none", "auto")] = None
    tools: Annotated[None, only([])] = None
    top_logprobs: Annotated[None, only(0)] = None
    truncation: Annotated[None, only("disabled")] = None

    @property
    def end_user(self) -> str | None:
        """On whose behalf the call is made, by the field of today or the one that it replaces."""
        return self.safety_identifier or self.user

    def order(self) -> Order:
        """What the data plane is asked to do."""
        turns = tuple(message.turn() for message in self.input)
        if self.instructions is not None:
            turns = (ChatMessage("system", self.instructions), *turns)
        chosen = sampling(self.max_output_tokens, self.temperature, self.top_p)
        text_format = self.text.format if self.text else None
        grammar = text_format.grammar() if text_format else None
        return Order(self.model, (Conversation(turns),), chosen, grammar)
