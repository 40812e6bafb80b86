"""Conversations with tools, through templates that know them and templates that do not."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from models.engines.chat_template import ChatTemplate
from models.errors import InvalidRequestError, UnsupportedOptionError
from models.tools import ToolCall, ToolFunction, Tools
from models.types import ChatMessage, Conversation
from tests.unit.models.engines.tiny_llama import CHAT_TEMPLATE, tiny_tokenizer
from tests.unit.models.engines.tool_template import TOOL_TEMPLATE

DEPTH = ToolFunction("depth", '{"type": "object", "properties": {"at": {"type": "string"}}}', "How deep it is.")
QUESTION = ChatMessage("user", "How deep?")
CALLED = ChatMessage("assistant", "", (ToolCall("call_1", "depth", '{"at": "sea"}'),))
RESULT = ChatMessage("tool", "4 m", tool_call_id="call_1")


def template(text: str | dict[str, str]) -> ChatTemplate:
    tokenizer = tiny_tokenizer(chat_template=None)
    tokenizer.chat_template = text
    return ChatTemplate(tokenizer)


def test_the_model_is_told_of_functions_and_of_what_they_gave() -> None:
    rendered = template(TOOL_TEMPLATE).render(Conversation((QUESTION, CALLED, RESULT), Tools((DEPTH,))))
    assert '"description": "How deep it is."' in rendered
    assert '"at": {"type": "string"}' in rendered
    assert '<tool_call>\n{"name": "depth", "arguments": {"at": "sea"}}\n</tool_call>' in rendered
    assert "4 m" in rendered


def test_a_template_of_its_own_for_tools_is_used() -> None:
    both = template({"default": CHAT_TEMPLATE, "tool_use": TOOL_TEMPLATE})
    assert "depth" in both.render(Conversation((QUESTION,), Tools((DEPTH,))))
    assert both.render(Conversation((QUESTION,))) == "[user] How deep?\n[assistant] "


XML = TOOL_TEMPLATE.replace('{"name": "', "<function=")
SILENT = TOOL_TEMPLATE.replace("tool | tojson", "''")
STRICT = CHAT_TEMPLATE.replace("'assistant') %}", "'assistant') or message.tool_calls %}")


@pytest.mark.parametrize("text", [CHAT_TEMPLATE, XML, SILENT, STRICT])
@pytest.mark.parametrize(
    ("conversation", "param"),
    [
        (Conversation((QUESTION,), Tools((DEPTH,))), "tools"),
        (Conversation((QUESTION, CALLED, RESULT)), "messages"),
    ],
)
def test_a_template_that_does_not_know_tools_is_not_given_any(
    text: str, conversation: Conversation, param: str
) -> None:
    with pytest.raises(UnsupportedOptionError, match="has no tools") as caught:
        template(text).render(conversation)
    assert caught.value.param == param


@pytest.mark.parametrize(("special", "known"), [(False, True), (True, False)])
def test_markers_that_are_not_shown_could_not_be_read(special: bool, known: bool) -> None:
    tokenizer: PreTrainedTokenizerFast = tiny_tokenizer(chat_template=TOOL_TEMPLATE)
    markers = [AddedToken(text, special=special) for text in ("<tool_call>", "</tool_call>")]
    tokenizer.add_tokens(markers, special_tokens=special)
    conversation = Conversation((QUESTION,), Tools((DEPTH,)))
    if known:
        assert "depth" in ChatTemplate(tokenizer).render(conversation)
    else:
        with pytest.raises(UnsupportedOptionError):
            ChatTemplate(tokenizer).render(conversation)


def test_what_the_template_refuses_is_the_callers_to_change() -> None:
    with pytest.raises(InvalidRequestError, match="unknown role critic"):
        template(CHAT_TEMPLATE).render(Conversation((ChatMessage("critic", "x"),)))
