"""Tools, as far as protocols share them: what a model may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, JsonValue
from pydantic_core import PydanticCustomError

from models.errors import InvalidRequestError
from models.tools import ToolFunction, Tools

MAX_TOOLS = 128


def _of_an_object(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if schema.get("type", "object") != "object":
        raise PydanticCustomError("schema", 'Input should be a schema with "type": "object"')
    return {"type": "object", **schema}


Parameters = Annotated[dict[str, JsonValue], AfterValidator(_of_an_object)]
"""The JSON schema of a function's arguments, which are an object even where it does not say so."""


def choose_tools(
    functions: Sequence[ToolFunction],
    wanted: Literal["none", "may", "must"],
    only: str | None = None,
    parallel: bool = True,
) -> Tools | None:
    """What the model may, or must, call; None when that is nothing. With a choice of one it is told of no other.

    InvalidRequestError when two have the same name, or when it must call what is not there.
    """
    names = [function.name for function in functions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequestError(f"two tools are called {twice!r}", remedy="rename one", param="tools")
    chosen = tuple(function for function in functions if only in (None, function.name))
    if wanted == "must" and not chosen:
        raise InvalidRequestError(
            "tool_choice asks for a call of what is not among the tools",
            remedy="name one of the tools",
            param="tool_choice",
        )
    if wanted == "none" or not chosen:
        return None
    return Tools(chosen, required=wanted == "must", parallel=parallel)
