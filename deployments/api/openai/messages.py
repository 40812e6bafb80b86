"""The turns of a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from deployments.api.http.parsing import WireModel, only
from deployments.api.openai.tools import MadeCall
from models.errors import InvalidRequestError
from models.types import ChatMessage


class TextPart(TypedDict):
    """A part of a message."""

    type: Literal["text"]
    text: str


def _text(content: object) -> object:
    """Text parts are joined by newlines, as vLLM does for templates that take one string."""
    if not isinstance(content, list):
        return content
    for index, part in enumerate(content):
        _check_part(index, part)
    return "\n".join(part["text"] for part in content)


def _check_part(index: int, part: object) -> None:
    match part:
        case {"type": "text", "text": str(), **others} if not others:
            return
        case {"type": str(kind)} if kind != "text":
            raise PydanticCustomError(
                "part",
                "Part {index} is of type {kind}; only text is supported",
                {"index": index, "kind": repr(kind)},
            )
    raise PydanticCustomError(
        "part", 'Part {index} should be an object with "type": "text" and "text": a string', {"index": index}
    )


Content = Annotated[str | None, BeforeValidator(_text, json_schema_input_type=str | list[TextPart] | None)]


class Message(WireModel):
    """One turn. The fields that only audio and refusals use may be there, and null."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    tool_calls: tuple[MadeCall, ...] | None = None
    tool_call_id: str | None = None
    name: Annotated[None, only()] = None
    refusal: Annotated[None, only()] = None
    audio: Annotated[None, only()] = None
    function_call: Annotated[None, only()] = None
    annotations: Annotated[None, only([])] = None

    def turn(self) -> ChatMessage:
        """In the words of chat templates, which know no developer."""
        role = "system" if self.role == "developer" else self.role
        calls = tuple(made.call() for made in self.tool_calls or ())
        return ChatMessage(role, self.content or "", calls, self.tool_call_id)


def check_messages(messages: Sequence[Message]) -> None:
    """InvalidRequestError for the first turn that lacks a part, or has one that belongs to another role."""
    for index, message in enumerate(messages):
        param, problem = _problem(message)
        if problem:
            raise InvalidRequestError(f"messages[{index}].{param} {problem}", param=f"messages[{index}].{param}")


def _problem(message: Message) -> tuple[str, str]:
    """The field at fault and what is wrong with it; an empty text when nothing is."""
    if message.content is None and not message.tool_calls:
        return "content", "is required: a string or text parts"
    if message.tool_calls and message.role != "assistant":
        return "tool_calls", f"belongs to an assistant, not to {message.role}"
    if (message.tool_call_id is None) == (message.role == "tool"):
        return "tool_call_id", "belongs to the role tool, which has to have it"
    return "", ""
