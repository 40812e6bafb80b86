"""Tools: what a model may call, as a chat request says it, and what it called, as a reply does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError, from_json
from typing_extensions import TypedDict

from deployments.api.http.parsing import WireModel
from deployments.api.http.tools import Parameters, choose_tools
from deployments.api.openai.structured import JsonObject
from models.tools import ToolCall, ToolCallPiece, ToolFunction, Tools

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}


class Function(WireModel):
    """Without ``parameters`` it takes none. They hold whether ``strict`` or not."""

    name: FunctionName
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None

    def tool(self) -> ToolFunction:
        """In our own words."""
        parameters = _NO_PARAMETERS if self.parameters is None else self.parameters
        return ToolFunction(self.name, json.dumps(parameters), self.description)


class Tool(WireModel):
    """One that may be called."""

    type: Literal["function"]
    function: Function


class NamedFunction(WireModel):
    """The one that has to be called."""

    name: FunctionName


class ToolChoice(WireModel):
    """``function`` is there with the type of that name."""

    type: Literal["none", "auto", "required", "function"]
    function: NamedFunction | None = None


def _choice(value: object) -> object:
    if isinstance(value, str) and value != "function":
        return {"type": value}
    if isinstance(value, dict) and value.get("type") == "function" and "function" in value:
        return value
    raise PydanticCustomError("tool_choice", "Input should be none, auto, required or a function to call")


_Named = TypedDict("_Named", {"type": Literal["function"], "function": NamedFunction})  # noqa: UP013  for the schema
ToolChoiceField = Annotated[
    ToolChoice,
    BeforeValidator(_choice, json_schema_input_type=Literal["none", "auto", "required"] | _Named),
]


_WANTED: Mapping[str, Literal["none", "may", "must"]] = {
    "none": "none",
    "auto": "may",
    "required": "must",
    "function": "must",
}


def tools_of(given: Sequence[Tool], choice: ToolChoice | None, parallel: bool | None) -> Tools | None:
    """What the model may call; None when that is nothing."""
    choice = choice or ToolChoice(type="auto")
    named = choice.function.name if choice.function else None
    functions = [tool.function.tool() for tool in given]
    return choose_tools(functions, _WANTED[choice.type], only=named, parallel=parallel is not False)


def _json_object(text: str) -> str:
    try:
        arguments = from_json(text)
    except ValueError as error:
        raise PydanticCustomError(
            "arguments", "Input should be JSON: {problem}", {"problem": str(error)}
        ) from None
    if not isinstance(arguments, dict):
        raise PydanticCustomError("arguments", "Input should be a JSON object, written as a string")
    return text


class CalledFunction(WireModel):
    """What was called, and with what."""

    name: FunctionName
    arguments: Annotated[str, AfterValidator(_json_object)]


class MadeCall(WireModel):
    """A call of an earlier turn."""

    id: str = Field(min_length=1)
    type: Literal["function"]
    function: CalledFunction

    def call(self) -> ToolCall:
        """In our own words."""
        return ToolCall(self.id, self.function.name, self.function.arguments)


class FunctionBody(TypedDict):
    """Of a call that the model makes; in a stream the name comes first and the arguments after it, in parts."""

    name: NotRequired[str]
    arguments: str


class CallBody(TypedDict):
    """A call in a reply, or in a stream the next part of it; then ``index`` says of which."""

    index: NotRequired[int]
    id: NotRequired[str]
    type: NotRequired[str]
    function: FunctionBody


def whole_call(call: ToolCallPiece) -> CallBody:
    """A call with all its arguments."""
    body = call_part(call)
    del body["index"]
    return body


def call_part(piece: ToolCallPiece) -> CallBody:
    """The next part of a call; the first one, which has the name, gets the call's id."""
    if piece.name is None:
        return CallBody(index=piece.index, function=FunctionBody(arguments=piece.arguments))
    function = FunctionBody(name=piece.name, arguments=piece.arguments)
    return CallBody(index=piece.index, id=f"call_{uuid.uuid4().hex[:24]}", type="function", function=function)
