"""Texts to padded batches of token ids, for the engines that embed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from models.errors import ContextLengthError, InvalidRequestError

TextOrIds = str | tuple[int, ...]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Padded on the right. ``positions`` are the places of its texts in the request; the arrays are
    [batch, tokens]."""

    positions: tuple[int, ...]
    input_ids: Ids
    attention_mask: Ids


class TextTokenizer:
    """The model's own ``tokenizer.json``, with a limit in tokens in place of silent truncation."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = self._tokenizer.get_vocab_size()
        self._max_tokens = max_tokens

    def encode(self, inputs: Sequence[TextOrIds]) -> list[tuple[int, ...]]:
        """The ids of each input: special tokens are added to texts, ids are taken as they are.

        InvalidRequestError for an input that cannot be embedded, ContextLengthError for one that is too long.
        """
        return [self._encode(index, each) for index, each in enumerate(inputs)]

    def _encode(self, index: int, text_or_ids: TextOrIds) -> tuple[int, ...]:
        ids = self._encode_text(index, text_or_ids) if isinstance(text_or_ids, str) else text_or_ids
        if not ids:
            raise InvalidRequestError(f"input {index} has no tokens", remedy="leave it out", param="input")
        if len(ids) > self._max_tokens:
            raise ContextLengthError(
                f"input {index} has {len(ids)} tokens; the model takes at most {self._max_tokens}",
                remedy="shorten it, or embed it in parts",
                param="input",
            )
        self._check_ids(index, ids)
        return ids

    def _encode_text(self, index: int, text: str) -> tuple[int, ...]:
        if not _is_unicode(text):
            raise InvalidRequestError(
                f"input {index} holds half of a surrogate pair", remedy="send valid Unicode text", param="input"
            )
        # One by one: encode_batch would start a thread on every core, whatever the replica was given.
        return tuple(self._tokenizer.encode(text).ids)

    def _check_ids(self, index: int, ids: tuple[int, ...]) -> None:
        if not 0 <= min(ids) <= max(ids) < self._vocab_size:
            raise InvalidRequestError(
                f"input {index} has token ids from {min(ids)} to {max(ids)}; "
                f"the model's vocabulary ends at {self._vocab_size - 1}",
                param="input",
            )


def batches(encoded: Sequence[tuple[int, ...]], max_batch_size: int) -> Iterator[TokenBatch]:
    """All inputs, the longest first, so that texts of like length share a batch and little of it is padding."""
    order = sorted(range(len(encoded)), key=lambda position: len(encoded[position]), reverse=True)
    for start in range(0, len(order), max_batch_size):
        positions = tuple(order[start : start + max_batch_size])
        yield _pad(positions, [encoded[position] for position in positions])


def _pad(positions: tuple[int, ...], rows: list[tuple[int, ...]]) -> TokenBatch:
    input_ids = np.zeros((len(rows), len(rows[0])), dtype=np.int64)  # masked, so any id in the vocabulary will do
    attention_mask = np.zeros_like(input_ids)
    for row, ids in enumerate(rows):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return TokenBatch(positions, input_ids, attention_mask)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
