"""The content of a turn: text, calls of tools, and their results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from deployments.api.http.parsing import WireModel, only, string_or_list
from models.errors import InvalidRequestError
from models.tools import ToolCall
from models.types import ChatMessage

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


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


def _as_text(text: str) -> object:
    return {"type": "text", "text": text}


Text = Annotated[tuple[TextBlock, ...], string_or_list(_as_text, str | list[TextBlock])]


class Block(WireModel):
    """Text has ``text``; a call of a tool ``id``, ``name`` and ``input``; its result ``tool_use_id``."""

    type: Literal["text", "tool_use", "tool_result"]
    text: str | None = None
    id: Annotated[str, Field(min_length=1)] | None = None
    name: ToolName | None = None
    input: dict[str, JsonValue] | None = None
    tool_use_id: Annotated[str, Field(min_length=1)] | None = None
    content: Text | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None
    citations: Annotated[None, only([])] = None
    caller: Annotated[None, only({"type": "direct"})] = None
    toolset_name: Annotated[None, only()] = None


_NEEDED = {"text": ("text",), "tool_use": ("id", "name", "input"), "tool_result": ("tool_use_id",)}
_OPTIONAL = {"tool_result": ("content", "is_error")}
_OF_ROLE = {"tool_use": "assistant", "tool_result": "user"}
_PECULIAR = ("text", "id", "name", "input", "tool_use_id", "content", "is_error")


class Turn(WireModel):
    """One turn, or a part of it: turns of the same role that follow each other are one."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[tuple[Block, ...], string_or_list(_as_text, str | list[Block])] = Field(min_length=1)


def check_turns(turns: Sequence[Turn]) -> None:
    """InvalidRequestError for the first block that lacks a field, has one of another kind, or another's role."""
    for turn_number, turn in enumerate(turns):
        for number, block in enumerate(turn.content):
            field, problem = _problem(turn.role, block)
            if problem:
                param = f"messages[{turn_number}].content[{number}].{field}"
                raise InvalidRequestError(f"{param} {problem}", param=param)


def _problem(role: str, block: Block) -> tuple[str, str]:
    """The field at fault and what is wrong with it; an empty text when nothing is."""
    of_role = _OF_ROLE.get(block.type, role)
    if of_role != role:
        return "type", f"{block.type} belongs to the role {of_role}, not to {role}"
    needed = _NEEDED[block.type]
    for field in _PECULIAR:
        is_there = getattr(block, field) is not None
        if field in needed and not is_there:
            return field, f"is required in a block of the type {block.type}"
        if is_there and field not in (*needed, *_OPTIONAL.get(block.type, ())):
            return field, f"does not belong into a block of the type {block.type}"
    return "", ""


def conversation(system: Sequence[TextBlock], turns: Sequence[Turn]) -> tuple[ChatMessage, ...]:
    """In the words of chat templates: results of tools are turns of their own."""
    blocks = [("system", Block(type="text", text=block.text)) for block in system]
    blocks += [(turn.role, block) for turn in turns for block in turn.content]
    return tuple(
        message
        for role, of_role in groupby(blocks, key=lambda pair: pair[0])
        for message in _messages(role, [block for _, block in of_role])
    )


def _messages(role: str, blocks: Sequence[Block]) -> Iterator[ChatMessage]:
    if role == "assistant":
        calls = tuple(_call(block) for block in blocks if block.type == "tool_use")
        yield ChatMessage(role, _joined(blocks), calls)
        return
    for is_result, run in groupby(blocks, key=lambda block: block.type == "tool_result"):
        if is_result:
            yield from map(_result, run)
        else:
            yield ChatMessage(role, _joined(list(run)))


def _call(block: Block) -> ToolCall:
    return ToolCall(block.id or "", block.name or "", json.dumps(block.input))


def _result(block: Block) -> ChatMessage:
    """Templates have no place for ``is_error``: the text says it."""
    text = "\n".join(each.text for each in block.content or ())
    return ChatMessage("tool", f"Error: {text}" if block.is_error else text, (), block.tool_use_id)


def _joined(blocks: Sequence[Block]) -> str:
    return "\n".join(block.text for block in blocks if block.text is not None)
