"""A sequence that follows a grammar matches it, whatever tokens are chosen among those that it allows."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from copy import deepcopy

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers.generation.continuous_batching.requests import RequestState

from models.engines.grammar import MAX_GRAMMAR_CHARS, Constraint, GrammarCompiler
from models.errors import InvalidRequestError, UnsupportedOptionError
from models.types import Grammar, GrammarKind
from tests.unit.models.engines import tokenizers_for_tests

PROMPT = [5, 6, 7]
PADDED = 13  # a model's vocabulary is often larger than its tokenizer's

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["red", "green", None]}, "maxItems": 2},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


class Following:
    """A request whose tokens are drawn from what its constraint allows."""

    def __init__(self, tokenizer: Tokenizer, eos_id: int) -> None:
        self.tokenizer = tokenizer
        self.eos_id = eos_id
        size = tokenizer.get_vocab_size() + PADDED
        self.compiler = GrammarCompiler(tokenizer, size, frozenset({eos_id}))

    def begin(self, grammar: Grammar) -> tuple[Constraint, RequestState]:
        return self.compiler.constrain(grammar, len(PROMPT)), RequestState("r", list(PROMPT))

    def walk(self, grammar: Grammar, seed: int, max_tokens: int = 400) -> str | None:
        """A text drawn at random, which ends as soon as it may half of the time; None when it never ended."""
        draw = random.Random(seed)  # noqa: S311
        constraint, state = self.begin(grammar)
        for _ in range(max_tokens):
            choices = allowed_ids(constraint.allowed(state))
            assert choices, "a sequence may always go on or end"
            token = draw.choice(choices)
            if self.eos_id in choices and (token == self.eos_id or draw.random() < 0.5):
                return str(self.tokenizer.decode(state.generated_tokens))
            state.generated_tokens.append(token)
        return None


def allowed_ids(mask: bytes) -> list[int]:
    return [8 * place + bit for place, octet in enumerate(mask) for bit in range(8) if octet >> bit & 1]


def schema_grammar(schema: object) -> Grammar:
    return Grammar(GrammarKind.JSON_SCHEMA, json.dumps(schema), "response_format")


def regex_grammar(pattern: str) -> Grammar:
    return Grammar(GrammarKind.REGEX, pattern, "structured_outputs.regex")


def byte_level() -> Following:
    tokenizer = tokenizers_for_tests.byte_level()
    return Following(tokenizer, tokenizers_for_tests.id_of(tokenizer))


@pytest.fixture(scope="module")
def following() -> Following:
    return byte_level()


SCALARS: Sequence[dict[str, object]] = (
    {"type": "string", "maxLength": 6},
    {"type": "integer", "minimum": -20, "maximum": 300},
    {"type": "boolean"},
    {"enum": ["a", "b", 3]},
    {"type": "string", "pattern": "^[ab]{2,4}$"},
    {"type": "string", "format": "uuid"},
)


def objects(of: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    properties = st.dictionaries(st.sampled_from("xyz"), of, min_size=1)
    return properties.map(
        lambda given: {
            "type": "object",
            "properties": given,
            "required": sorted(given)[:2],
            "additionalProperties": False,
        }
    )


def arrays(of: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    return of.map(lambda items: {"type": "array", "items": items, "minItems": 1, "maxItems": 3})


SCHEMAS = st.recursive(st.sampled_from(SCALARS), lambda of: objects(of) | arrays(of), max_leaves=4)


FOLLOWING = byte_level()


@settings(max_examples=60)
@given(schema=SCHEMAS, seed=st.integers(0, 2**31))
def test_whatever_is_drawn_is_valid_json_of_the_schema(schema: dict[str, object], seed: int) -> None:
    """The longest that was seen, three by three objects with two UUIDs each, takes some 800 tokens."""
    text = FOLLOWING.walk(schema_grammar(schema), seed, max_tokens=20_000)
    assert text is not None
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    checker.validate(json.loads(text))


@pytest.mark.parametrize("pattern", [r"\d{4}-\d{2}", "(yes|no)!*", r"[^\x00-\x7f]{2,5}", "a/b\nc?", "^x+$", ""])
def test_whatever_is_drawn_matches_the_expression(following: Following, pattern: str) -> None:
    texts = [following.walk(regex_grammar(pattern), seed) for seed in range(20)]
    assert all(text is not None and re.fullmatch(pattern, text, re.ASCII) for text in texts)


def test_one_of_the_choices_is_drawn(following: Following) -> None:
    choices = ["yes", "naïve", '"\\\n', "日本"]
    grammar = Grammar(GrammarKind.CHOICE, json.dumps(choices), "structured_outputs.choice")
    assert {following.walk(grammar, seed) for seed in range(60)} == set(choices)


def test_bytes_as_tokens_are_followed_too() -> None:
    """As in the vocabularies of Llama 2 and Gemma."""
    tokenizer = tokenizers_for_tests.byte_fallback()
    following = Following(tokenizer, tokenizers_for_tests.id_of(tokenizer))
    assert {following.walk(regex_grammar("(日本|the)"), seed) for seed in range(30)} == {"日本", "the"}


def test_the_end_is_allowed_only_where_the_grammar_may_end(following: Following) -> None:
    constraint, state = following.begin(regex_grammar("ab?"))
    assert following.eos_id not in allowed_ids(constraint.allowed(state))
    state.generated_tokens.append(tokenizers_for_tests.id_of(following.tokenizer, "a"))
    assert set(allowed_ids(constraint.allowed(state))) == {
        following.eos_id,
        tokenizers_for_tests.id_of(following.tokenizer, "b"),
    }
    state.generated_tokens.append(tokenizers_for_tests.id_of(following.tokenizer, "b"))
    assert allowed_ids(constraint.allowed(state)) == [following.eos_id]


def test_what_the_tokenizer_does_not_have_is_never_allowed(following: Following) -> None:
    constraint, state = following.begin(regex_grammar(r"(.|\n)*"))
    allowed = allowed_ids(constraint.allowed(state))
    assert len(allowed) > 200
    assert max(allowed) < following.tokenizer.get_vocab_size()


def test_an_evicted_request_goes_on_where_it_was(following: Following) -> None:
    constraint, state = following.begin(schema_grammar(PERSON))
    ids = following.tokenizer.encode('{"name": "Ann", "age": 3').ids
    state.generated_tokens = list(ids[:4])
    state.logit_processor_kwargs = {"constraint": constraint}
    constraint.allowed(state)
    again = state.create_equivalent_initial_request()
    again.generated_tokens = list(ids[4:])
    assert again.logit_processor_kwargs["constraint"] is constraint
    whole, unbroken = following.begin(schema_grammar(PERSON))
    unbroken.generated_tokens = list(ids)
    assert constraint.allowed(again) == whole.allowed(unbroken)
    once_more = again.create_equivalent_initial_request()
    assert constraint.allowed(once_more) == whole.allowed(unbroken)


def test_a_copy_is_the_same_sequence(following: Following) -> None:
    constraint, _ = following.begin(regex_grammar("a"))
    assert deepcopy({"constraint": constraint})["constraint"] is constraint


def test_requests_with_one_grammar_do_not_disturb_each_other(following: Following) -> None:
    (first, one), (second, other) = (following.begin(regex_grammar("ab")) for _ in range(2))
    one.generated_tokens = [tokenizers_for_tests.id_of(following.tokenizer, "a")]
    assert first.allowed(one) != second.allowed(other)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"not": {}}, '["not"]'),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"type": "object", "propertyNames": {}}, "propertyNames"),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"type": "object", "dependentSchemas": {"a": {}}}, "dependentSchemas"),
        ({"type": "object", "unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"type": "array", "unevaluatedItems": False}, "unevaluatedItems"),
        ({"if": {}, "then": {}}, "if"),
        ({"oneOf": [{"type": "string"}, {"minLength": 2}]}, "oneOf"),
        ({"type": "string", "format": "iban"}, "iban"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"$ref": "http://example.com/schema"}, "example.com"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"enum": []}, "Unsatisfiable"),
        ({"type": "foo"}, "foo"),
        ({"not": {}, "x-guidance": {"lenient": True}}, '["not"]'),
        ([], "JSON object"),
        (True, "JSON object"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(following: Following, schema: object, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match="response_format cannot be followed") as caught:
        following.begin(schema_grammar(schema))
    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.param == "response_format"


@pytest.mark.parametrize(
    ("pattern", "reason"), [("[a-z", "unclosed"), (r"\bword\b", "lookarounds"), ("\ud800", "surrogates")]
)
def test_an_expression_that_cannot_be_followed_is_refused(following: Following, pattern: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        following.begin(regex_grammar(pattern))


def test_a_grammar_that_is_too_large_is_refused(following: Following) -> None:
    with pytest.raises(InvalidRequestError, match="characters"):
        following.begin(regex_grammar("a" * (MAX_GRAMMAR_CHARS + 1)))


HEAVY = regex_grammar("(.*a.{200}b.*|.*c.{300}d.*|.*e.{100}.*)")


def exhaust(following: Following) -> tuple[Constraint, RequestState]:
    """A sequence that has met the library's limits."""
    constraint, state = following.begin(HEAVY)
    draw = random.Random(0)  # noqa: S311
    while constraint.failure is None:
        going_on = [token for token in allowed_ids(constraint.allowed(state)) if token != following.eos_id]
        state.generated_tokens.append(draw.choice(going_on or [following.eos_id]))
    return constraint, state


def test_a_grammar_that_takes_too_much_ends_its_sequence_and_says_so() -> None:
    following = byte_level()
    constraint, state = exhaust(following)
    assert constraint.failure is not None
    assert "lexer error: too many" in constraint.failure
    assert allowed_ids(constraint.allowed(state)) == [following.eos_id]


def test_a_grammar_that_took_too_much_begins_afresh() -> None:
    following = byte_level()
    exhaust(following)
    constraint, state = following.begin(HEAVY)
    assert len(allowed_ids(constraint.allowed(state))) > 1
    assert constraint.failure is None


@pytest.mark.parametrize("build", [tokenizers_for_tests.metaspace, tokenizers_for_tests.word_piece])
def test_a_vocabulary_whose_bytes_are_unknown_is_refused(build: Callable[[], Tokenizer]) -> None:
    tokenizer = build()
    following = Following(tokenizer, tokenizers_for_tests.id_of(tokenizer))
    with pytest.raises(UnsupportedOptionError, match="works with no grammar"):
        following.begin(regex_grammar("a"))


def test_a_model_that_never_ends_is_refused() -> None:
    tokenizer = tokenizers_for_tests.byte_level()
    compiler = GrammarCompiler(tokenizer, tokenizer.get_vocab_size(), frozenset())
    with pytest.raises(UnsupportedOptionError, match="no token ends"):
        compiler.constrain(regex_grammar("a"), 1)


def test_a_tokenizer_may_have_more_tokens_than_the_model() -> None:
    tokenizer = tokenizers_for_tests.byte_level()
    size = tokenizer.get_vocab_size()
    compiler = GrammarCompiler(tokenizer, size - 20, frozenset({0}))
    constraint = compiler.constrain(regex_grammar("abc"), 1)
    assert len(constraint.allowed(RequestState("r", [1]))) * 8 >= size
