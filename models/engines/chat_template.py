"""Conversations to text, by the template that came with the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import cast

from jinja2 import TemplateError
from pydantic import JsonValue
from transformers import PreTrainedTokenizerBase

from models.engines.detokenize import IncrementalDetokenizer
from models.engines.tool_calls import written
from models.errors import InvalidRequestError, UnsupportedOptionError
from models.tools import ToolCall, ToolFunction
from models.types import ChatMessage, Conversation

_TOOL_TEMPLATE = "tool_use"  # as transformers calls it


class ChatTemplate:
    """Safe to use from several threads: it never changes the tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer

    def render(self, conversation: Conversation) -> str:
        """The prompt as text; InvalidRequestError when the template has no way to write it."""
        tools = conversation.tools.functions if conversation.tools else ()
        if self._tokenizer.chat_template is None:
            raise UnsupportedOptionError(
                "this model has no chat template", remedy="use text completion instead", param="messages"
            )
        if (tools or _tell_of_calls(conversation.messages)) and not self._knows_tools:
            raise UnsupportedOptionError(
                "this model's chat template has no tools, or writes calls in a way that is not supported",
                remedy="leave out tools, tool messages and tool_calls, or use a model whose template writes "
                "<tool_call> as Qwen 2.5 and Hermes do",
                param="tools" if tools else "messages",
            )
        try:
            return self._apply(conversation.messages, tools)
        except TemplateError as error:
            raise InvalidRequestError(
                f"the model's chat template refuses these messages: {error}",
                remedy="change the roles or their order",
                param="messages",
            ) from error

    @cached_property
    def _knows_tools(self) -> bool:
        """Whether it tells of a function, and writes a call of it as the grammar will have the model write it."""
        function = ToolFunction("probe_of_tools", '{"type": "object", "properties": {}}', "Probes.")
        call = ToolCall("call_0", function.name, '{"depth": 1}')
        question, answer = ChatMessage("user", "How deep?"), ChatMessage("assistant", "", (call,))
        try:
            told = self._apply((question,), (function,))
            called = self._apply((question, answer), ())
        except (TemplateError, TypeError):
            return False
        return function.name in told and written(call) in called and self._shows(written(call))

    def _shows(self, text: str) -> bool:
        """Whether a model that generates the tokens of ``text`` is seen to write it."""
        ids = self._backend.encode(text, add_special_tokens=False).ids
        return text in IncrementalDetokenizer(self._backend).push(ids)

    def _apply(self, messages: Sequence[ChatMessage], functions: Sequence[ToolFunction]) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                cast("list[dict[str, str]]", [_turn(message) for message in messages]),  # calls are more than text
                tools=[_tool(function) for function in functions] or None,
                chat_template=self._name(messages, functions),
                add_generation_prompt=True,
                tokenize=False,
            )
        )

    def _name(self, messages: Sequence[ChatMessage], functions: Sequence[ToolFunction]) -> str | None:
        """Of the template to be used, where the model has several."""
        templates = self._tokenizer.chat_template
        has_own = isinstance(templates, dict) and _TOOL_TEMPLATE in templates
        return _TOOL_TEMPLATE if has_own and (functions or _tell_of_calls(messages)) else None


def _tell_of_calls(messages: Sequence[ChatMessage]) -> bool:
    return any(message.tool_calls or message.tool_call_id is not None for message in messages)


def _turn(message: ChatMessage) -> dict[str, JsonValue]:
    """As chat templates take it: arguments are objects."""
    turn: dict[str, JsonValue] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _tool(function: ToolFunction) -> dict[str, JsonValue]:
    described: dict[str, JsonValue] = {"name": function.name, "parameters": json.loads(function.parameters)}
    if function.description is not None:
        described["description"] = function.description
    return {"type": "function", "function": described}
