"""Grammars that a continuation has to match: compiled for a vocabulary, and followed token by token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, grammar_from, regex_to_lark
from tokenizers import Tokenizer

from models.errors import InvalidRequestError, UnsupportedOptionError
from models.types import Grammar, GrammarKind

if TYPE_CHECKING:
    from transformers.generation.continuous_batching.requests import RequestState

MAX_GRAMMAR_CHARS = 1 << 18
# Fixed, so that a model cannot go on with blanks for ever. "lenient" would ignore what cannot be followed.
JSON_OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "coerce_one_of": False,
    "lenient": False,
}
_ASCII_CLASSES = "dw"  # \d and \w as in JSON schemas, where \d is no Tibetan digit
_NUM_KEPT = 16
# A state of the lexer takes 1 to 2 KB and a long string of bounded length needs one for each character.
_MAX_LEXER_STATES = 1 << 16


class Constraint:
    """One sequence on its way through a grammar, which came from the request's field ``param``.

    ``failure`` says why the grammar can no longer be followed: it took more than the library's limits. The
    sequence ends then, and what it holds is not to be taken for an answer.
    """

    def __init__(self, matcher: LLMatcher, num_prompt_tokens: int, param: str) -> None:
        self.param = param
        self._matcher = matcher
        self._num_seen = num_prompt_tokens
        self.failure: str | None = None

    def __deepcopy__(self, memo: object) -> Constraint:
        """Continuous batching copies the arguments of a request that it evicts: the sequence stays the same."""
        return self

    def allowed(self, state: RequestState) -> bytes:
        """The tokens that may come next, one bit for each of the vocabulary, the first one lowest.

        An evicted request starts again with what it had generated as the end of its prompt.
        """
        num_initial = len(state.initial_tokens)
        fresh = (
            state.initial_tokens[self._num_seen :] + state.generated_tokens[max(0, self._num_seen - num_initial) :]
        )
        self._num_seen += len(fresh)
        self._matcher.consume_tokens(fresh)
        mask = self._matcher.compute_bitmask()  # after an error: the end of the sequence alone
        if self.failure is None and self._matcher.is_error():
            self.failure = _reason(self._matcher.get_error())
        return mask

    def follows(self, token_ids: Sequence[int]) -> bool:
        """Whether a whole continuation, that another engine was to keep to the grammar, matches so far."""
        return bool(self._matcher.consume_tokens(list(token_ids)))


class GrammarCompiler:
    """Compiles grammars for one model; safe to use from several threads.

    The first grammar takes 0.2 s more, in which the vocabulary is read. ``vocab_size`` is the model's, which
    may be larger than the tokenizer's.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._eos_ids = sorted(eos_ids)
        self._compiled = lru_cache(_NUM_KEPT)(self._compile)

    def constrain(self, grammar: Grammar, num_prompt_tokens: int) -> Constraint:
        """A sequence at the beginning of the grammar.

        InvalidRequestError when the grammar is malformed, beyond the limits of size, or holds what the library
        cannot follow. UnsupportedOptionError when no grammar works with this vocabulary.
        """
        matcher = self._begin(grammar)
        if matcher.is_error():
            self._compiled.cache_clear()
            matcher = self._begin(grammar)
        return Constraint(matcher, num_prompt_tokens, grammar.param)

    def _begin(self, grammar: Grammar) -> LLMatcher:
        """Copies share what the lexer has learned; once that has reached a limit, no copy goes on."""
        matcher = self._compiled(grammar).deep_copy()
        matcher.compute_bitmask()
        return matcher

    def _compile(self, grammar: Grammar) -> LLMatcher:
        if len(grammar.text) > MAX_GRAMMAR_CHARS:
            raise InvalidRequestError(
                f"{grammar.param} has {len(grammar.text)} characters; at most {MAX_GRAMMAR_CHARS} are compiled",
                remedy="make it smaller",
                param=grammar.param,
            )
        limits = LLParserLimits(max_lexer_states=_MAX_LEXER_STATES, verbose_errors=False)
        matcher = LLMatcher(self._vocabulary_for(grammar), _source(grammar), log_level=0, limits=limits)
        matcher.compute_bitmask()  # the first one takes the longest, and may find that it takes too much
        if matcher.is_error():
            raise _refusal(grammar, matcher.get_error())
        return matcher

    def _vocabulary_for(self, grammar: Grammar) -> LLTokenizer:
        try:
            return self._vocabulary
        except ValueError as error:
            raise UnsupportedOptionError(
                f"this model's vocabulary works with no grammar: {error}",
                remedy="leave it out",
                param=grammar.param,
            ) from error

    @cached_property
    def _vocabulary(self) -> LLTokenizer:
        if not self._eos_ids:
            raise ValueError("no token ends a generation")
        size = max(self._vocab_size, self._tokenizer.get_vocab_size(with_added_tokens=True))
        vocabulary = LLTokenizer(self._tokenizer.to_str(), n_vocab=size, eos_token=self._eos_ids)
        for token_id in self._eos_ids:
            if not vocabulary.is_special_token(token_id):
                raise ValueError(f"token {token_id} ends a generation, and is text as well")
        return vocabulary


def json_source(schema: str) -> str:
    """The schema with our options in place of its own; ValueError when it is no JSON object."""
    parsed = json.loads(schema)
    if not isinstance(parsed, dict):
        raise ValueError(f"a schema is a JSON object, not {schema[:80]}")  # noqa: TRY004  it is the text that is wrong
    return json.dumps(parsed | {"x-guidance": JSON_OPTIONS}, ensure_ascii=False)


def lark_of_regex(pattern: str) -> str:
    """The same in Lark; ValueError when it is no expression that can be followed."""
    return f"start: /{regex_to_lark(pattern, _ASCII_CLASSES)}/"


def _source(grammar: Grammar) -> str:
    try:
        match grammar.kind:
            case GrammarKind.JSON_SCHEMA:
                return LLMatcher.grammar_from_json_schema(json_source(grammar.text))
            case GrammarKind.REGEX:
                return LLMatcher.grammar_from_lark(lark_of_regex(grammar.text))
            case GrammarKind.CHOICE:
                return grammar_from("choice", grammar.text)
            case GrammarKind.LARK:
                return LLMatcher.grammar_from_lark(grammar.text)
    except ValueError as error:
        raise _refusal(grammar, str(error)) from error


def _refusal(grammar: Grammar, error: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{grammar.param} cannot be followed: {_reason(error)}",
        remedy="write it with what llguidance supports",
        param=grammar.param,
    )


def _reason(error: str) -> str:
    """One line; errors in regular expressions have theirs at the end, after a drawing."""
    lines = [line.strip() for line in error.splitlines()]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return told[0] if told else lines[0]
