"""Calls of tools in a model's text, as Hermes, Qwen 2.5 and 3, and many others after them write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum

from tokenizers import Tokenizer

from models.engines.grammar import json_source
from models.engines.stop import overlap
from models.errors import UnsupportedOptionError
from models.tools import ToolCall, ToolCallPiece, ToolFunction, Tools
from models.types import Conversation, GenerationRequest, Grammar, GrammarKind

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_BEFORE_NAME = '\n{"name": "'
_BEFORE_ARGUMENTS = '", "arguments": '
_AFTER_ARGUMENTS = "}\n"
_PARAM = "tools"

_RULES = """
start: {start}
TEXT: /(.|\\n)*/
first: trigger{open_token}
trigger[lazy]: /(.|\\n)*/ "{open}"
open: "{open}"{open_alternative}
close: "{close}"{close_alternative}
call: {functions}
"""


class _Stage(Enum):
    """A part of the text, with what ends it; no JSON without blanks of its own choice holds these."""

    SAID = _OPEN + _BEFORE_NAME
    NAME = _BEFORE_ARGUMENTS
    ARGUMENTS = _AFTER_ARGUMENTS + _CLOSE


_AFTER = {_Stage.SAID: _Stage.NAME, _Stage.NAME: _Stage.ARGUMENTS, _Stage.ARGUMENTS: _Stage.SAID}


def written(call: ToolCall) -> str:
    """The call as the model is to write it; a chat template that writes it likewise has taught it to."""
    return f"{_OPEN}{_BEFORE_NAME}{call.name}{_BEFORE_ARGUMENTS}{call.arguments}{_AFTER_ARGUMENTS}{_CLOSE}"


def tool_grammar(tools: Tools, tokenizer: Tokenizer) -> Grammar:
    """Any text, then calls; only calls when they are required."""
    more = '("\\n" open call)*' if tools.parallel else ""
    start = f"open call {more}" if tools.required else f"TEXT | first call {more}"
    open_token, close_token = (_as_token(tokenizer, text) for text in (_OPEN, _CLOSE))
    text = _RULES.format(
        start=start,
        open=_OPEN,
        close=_CLOSE,
        open_token=f" | TEXT {open_token}" if open_token else "",
        open_alternative=f" | {open_token}" if open_token else "",
        close_alternative=f" | {close_token}" if close_token else "",
        functions=" | ".join(map(_call_rule, tools.functions)),
    )
    return Grammar(GrammarKind.LARK, text, _PARAM)


def grammar_of(request: GenerationRequest, tokenizer: Tokenizer) -> Grammar | None:
    """What the continuation has to match: the request's own grammar, or that of its tools.

    UnsupportedOptionError when it has both.
    """
    tools = request.prompt.tools if isinstance(request.prompt, Conversation) else None
    if tools is None or request.grammar is None:
        return request.grammar if tools is None else tool_grammar(tools, tokenizer)
    raise UnsupportedOptionError(
        f"{request.grammar.param} and tools cannot be had in one answer",
        remedy="leave out one of them, or set tool_choice to none",
        param=request.grammar.param,
    )


def _as_token(tokenizer: Tokenizer, text: str) -> str | None:
    """How a grammar names the token that is the whole ``text``, where the vocabulary has one added for it."""
    return text if tokenizer.token_to_id(text) is not None else None


def _call_rule(function: ToolFunction) -> str:
    head = json.dumps(f"{_BEFORE_NAME}{function.name}{_BEFORE_ARGUMENTS}")
    return f"{head} %json {json_source(function.parameters)} {json.dumps(_AFTER_ARGUMENTS)} close"


class ToolCallReader:
    """Divides a text that follows ``tool_grammar`` into what is said and what is called, while it arrives.

    How the text is divided into pieces makes no difference.
    """

    def __init__(self) -> None:
        self.num_calls = 0  # those that are complete
        self._stage = _Stage.SAID
        self._held = ""
        self._name = ""

    def push(self, text: str) -> tuple[str, tuple[ToolCallPiece, ...]]:
        """The text and the parts of calls that became certain."""
        self._held += text
        said, pieces, ended = "", list[ToolCallPiece](), True
        while ended:
            stage = self._stage
            part, ended = self._take()
            if stage is _Stage.SAID and not self.num_calls:  # between calls there is a line's end
                said += part
            pieces.extend(self._call_pieces(stage, part, ended))
        return said, tuple(pieces)

    def flush(self) -> str:
        """The text that was held back because it may have begun a call; an unfinished call stays so."""
        held, self._held = self._held, ""
        return held if self._stage is _Stage.SAID and not self.num_calls else ""

    def _take(self) -> tuple[str, bool]:
        """The next of the text that belongs to this stage, and whether the stage is over."""
        end = self._stage.value
        part, found, rest = self._held.partition(end)
        if found:
            self._stage = _AFTER[self._stage]
        else:
            certain = len(part) - overlap(part, end)
            part, rest = part[:certain], part[certain:]
        self._held = rest
        return part, bool(found)

    def _call_pieces(self, stage: _Stage, part: str, ended: bool) -> Iterator[ToolCallPiece]:
        index = self.num_calls
        if stage is _Stage.NAME:
            self._name += part
            if ended:
                yield ToolCallPiece(index, "", self._name)
                self._name = ""
        elif stage is _Stage.ARGUMENTS:
            if part:
                yield ToolCallPiece(index, part)
            self.num_calls += ended
