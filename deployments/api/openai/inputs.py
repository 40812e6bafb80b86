"""Inputs that may be written in several ways, as both completions and embeddings take them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

TextOrTokens = str | tuple[int, ...]


def _inputs(value: object) -> tuple[TextOrTokens, ...]:
    if (single := _input(value)) is not None:
        return (single,)
    given = value if isinstance(value, list) else []
    inputs = tuple(item for item in map(_input, given) if item is not None)
    if not inputs or len(inputs) < len(given):
        raise PydanticCustomError(
            "inputs", "Input should be a string, a list of token ids, or a list of those, nowhere an empty list"
        )
    return inputs


def _input(value: object) -> TextOrTokens | None:
    if isinstance(value, list) and value and all(type(token) is int and token >= 0 for token in value):
        return tuple(value)
    return value if isinstance(value, str) else None


_Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Written = str | _Tokens | Annotated[list[str | _Tokens], Field(min_length=1)]

Inputs = Annotated[tuple[TextOrTokens, ...], BeforeValidator(_inputs, json_schema_input_type=_Written)]
"""A string, strings, token ids or lists of token ids; always a tuple of single inputs once it is read."""
