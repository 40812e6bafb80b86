"""Fields that keep a model's text to a form: OpenAI's ``response_format`` and vLLM's ``structured_outputs``."""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from deployments.api.http.parsing import WireModel
from models.errors import InvalidRequestError
from models.types import Grammar, GrammarKind

JsonObject = dict[str, JsonValue]
_ANY_OBJECT: JsonObject = {"type": "object"}


class NamedSchema(WireModel):
    """A JSON schema; ``name`` and ``description`` change nothing, and it holds whether ``strict`` or not."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    json_schema: JsonObject = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(WireModel):
    """OpenAI's field of a chat."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _schema_with_its_type(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise InvalidRequestError(
                f"response_format.json_schema and the type {self.type!r} do not go together",
                remedy='send {"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}',
                param="response_format.json_schema",
            )
        return self

    def grammar(self) -> Grammar | None:
        """None for plain text."""
        if self.type == "text":
            return None
        schema = _ANY_OBJECT if self.json_schema is None else self.json_schema.json_schema
        return _schema_grammar(schema, "response_format")


class StructuredOutputs(WireModel):
    """vLLM's field of chats and completions, of which exactly one is to be given."""

    json_schema: JsonObject | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = [each for each in (self.json_schema, self.regex, self.choice) if each is not None]
        if len(given) != 1:
            raise InvalidRequestError(
                f"structured_outputs has {len(given)} forms for one text",
                remedy="send one of json, regex and choice",
                param="structured_outputs",
            )
        return self

    def grammar(self) -> Grammar:
        """That of the one form."""
        if self.json_schema is not None:
            return _schema_grammar(self.json_schema, "structured_outputs.json")
        if self.regex is not None:
            return Grammar(GrammarKind.REGEX, self.regex, "structured_outputs.regex")
        return Grammar(GrammarKind.CHOICE, json.dumps(self.choice), "structured_outputs.choice")


def _schema_grammar(schema: JsonObject, param: str) -> Grammar:
    return Grammar(GrammarKind.JSON_SCHEMA, json.dumps(schema), param)
