"""The incremental text is the whole text, whatever the ids and however they arrive."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from models.engines.detokenize import BYTE_OF_SYMBOL, IncrementalDetokenizer
from tests.unit.models.engines import tokenizers_for_tests as build

TOKENIZERS: dict[str, Tokenizer] = {
    builder.__name__: builder()
    for builder in (build.byte_level, build.byte_fallback, build.metaspace, build.word_piece, build.suffixed)
}
PIECES = (
    "😀",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "e\u0301",
    "你好",
    "ကြည့်",
    " ",
    "  ",
    "\n",
    "the",
    "ou",
    "'s",
    " .",
    build.SPECIAL,
)
TEXTS = st.lists(st.one_of(st.text(max_size=8), st.sampled_from(PIECES)), max_size=12).map("".join)


class CountingTokenizer:
    """A real tokenizer that keeps the size of everything it is asked to decode."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.sizes: list[int] = []
        self.decoder = tokenizer.decoder
        self.id_to_token = tokenizer.id_to_token

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        self.sizes.append(len(ids))
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        return text


def token_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text).ids
    return ids


def one_by_one(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    detokenizer = IncrementalDetokenizer(tokenizer)
    return [*(detokenizer.push([token_id]) for token_id in ids), detokenizer.flush()]


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=TEXTS)
def test_pieces_join_to_the_decoded_text(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = token_ids(tokenizer, text)
    assert "".join(one_by_one(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("kind", [kind for kind in TOKENIZERS if kind != "byte_fallback"])
@settings(max_examples=300)
@given(data=st.data())
def test_any_ids_join_to_the_decoded_text(kind: str, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS[kind]
    beyond_the_vocabulary = tokenizer.get_vocab_size() + 20
    ids = data.draw(st.lists(st.integers(0, beyond_the_vocabulary), max_size=60))
    assert "".join(one_by_one(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


@given(text=TEXTS, data=st.data())
def test_grouping_of_ids_makes_no_difference(text: str, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS["byte_level"]
    ids = token_ids(tokenizer, text)
    cut = data.draw(st.integers(0, len(ids)))
    detokenizer = IncrementalDetokenizer(tokenizer)
    pieces = [detokenizer.push(ids[:cut]), detokenizer.push(ids[cut:]), detokenizer.flush()]
    assert "".join(pieces) == "".join(one_by_one(tokenizer, ids))


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
@given(text=TEXTS)
def test_no_piece_holds_half_a_character(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    whole = text.replace("\N{REPLACEMENT CHARACTER}", "")
    pieces = one_by_one(tokenizer, token_ids(tokenizer, whole))
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
def test_a_character_is_given_as_soon_as_it_is_complete(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = token_ids(tokenizer, "ကြ")
    assert len(ids) >= 6, "the characters must take several tokens for this test to say anything"
    pieces = one_by_one(tokenizer, ids)
    assert pieces[-4:] == ["", "", "ြ", ""]


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(data=st.data())
def test_the_cost_of_a_token_is_bounded(kind: str, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, TOKENIZERS[kind].get_vocab_size()), max_size=60))
    counting = CountingTokenizer(TOKENIZERS[kind])
    IncrementalDetokenizer(counting).push(ids)  # type: ignore[arg-type]
    assert len(counting.sizes) <= 4 * len(ids)
    assert max(counting.sizes, default=0) <= 2


def test_the_byte_symbols_are_those_of_the_library() -> None:
    assert set(BYTE_OF_SYMBOL) == set(pre_tokenizers.ByteLevel.alphabet())
    written = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("ÿ é\n\0")[0][0]
    assert bytes(BYTE_OF_SYMBOL[symbol] for symbol in written) == "ÿ é\n\0".encode()


def test_an_added_token_may_hold_characters_that_stand_for_no_byte() -> None:
    tokenizer = build.byte_level()
    tokenizer.add_tokens(["<→two words→>", "<think>"])
    ids = token_ids(tokenizer, "the<→two words→>é<think>")
    assert "".join(one_by_one(tokenizer, ids)) == "the<→two words→>é<think>"


@given(data=st.data())
def test_any_ids_with_whole_characters_of_byte_tokens_join_to_the_decoded_text(data: st.DataObject) -> None:
    tokenizer = TOKENIZERS["byte_fallback"]
    vocabulary = tokenizer.get_vocab()
    ordinary = st.sampled_from([index for token, index in vocabulary.items() if not token.startswith("<0x")])
    characters = st.characters(exclude_categories=["Cs"]).map(
        lambda character: [vocabulary[f"<0x{byte:02X}>"] for byte in character.encode()]
    )
    groups = data.draw(st.lists(st.one_of(characters, ordinary.map(lambda token_id: [token_id])), max_size=30))
    ids = [token_id for group in groups for token_id in group]
    assert "".join(one_by_one(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


def test_characters_before_broken_byte_tokens_stay() -> None:
    tokenizer = TOKENIZERS["byte_fallback"]
    vocabulary = tokenizer.get_vocab()
    ids = [*(vocabulary[f"<0x{byte:02X}>"] for byte in "é".encode() + b"\xe4"), vocabulary["a"]]
    assert one_by_one(tokenizer, ids) == ["", "é", "", "\N{REPLACEMENT CHARACTER}a", ""]


def test_special_tokens_are_kept_on_request() -> None:
    tokenizer = TOKENIZERS["byte_level"]
    ids = token_ids(tokenizer, f"the{build.SPECIAL}")
    detokenizer = IncrementalDetokenizer(tokenizer, skip_special_tokens=False)
    assert detokenizer.push(ids) + detokenizer.flush() == f"the{build.SPECIAL}"
