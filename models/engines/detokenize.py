"""Token ids to text while the ids are still arriving."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from tokenizers import Tokenizer

# Byte-level vocabularies write each byte as one visible character: itself where Latin-1 has a visible one,
# else the next free one from U+0100 on (GPT-2, bytes_to_unicode).
_VISIBLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_INVISIBLE = tuple(byte for byte in range(0x100) if byte not in _VISIBLE)
BYTE_OF_SYMBOL = {chr(byte): byte for byte in _VISIBLE} | {
    chr(0x100 + index): byte for index, byte in enumerate(_INVISIBLE)
}
_SPACE_SYMBOL = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")


class IncrementalDetokenizer:
    """The text of one growing sequence: each character once, and only when no later token can change it.

    The pieces joined are ``tokenizer.decode(all_ids, skip_special_tokens=...)``. One exception: where the byte
    tokens of a byte-fallback vocabulary turn out not to be UTF-8, ``decode`` replaces the whole run of them,
    good characters included; here those stay, for they are already sent.

    Tokens that stand for bytes go through an incremental UTF-8 decoder. For all others a decoder may join a
    token to the one before it (a space, "##"), so each is decoded together with that one and the difference
    counts. Either way the cost of a token does not depend on the length of the sequence.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_special_tokens = skip_special_tokens
        self._is_byte_level = _decoder_reads(tokenizer, _SPACE_SYMBOL, " ")
        self._has_byte_tokens = _decoder_reads(tokenizer, "<0x41>", "A")
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._previous: list[int] = []  # the last token, skipped ones aside; none at the beginning

    def push(self, token_ids: Iterable[int]) -> str:
        """The text that became certain with these tokens."""
        return "".join(self._step(token_id) for token_id in token_ids)

    def flush(self) -> str:
        """What is left of an unfinished character, as U+FFFD."""
        return self._utf8.decode(b"", final=True)

    def _step(self, token_id: int) -> str:
        token = self._tokenizer.id_to_token(token_id)
        if token is None or self._is_skipped(token_id):
            return ""
        previous, self._previous = self._previous, [token_id]
        encoded = self._bytes_of(token)
        if encoded is None or (not previous and encoded == b" "):  # a decoder may strip the first space of all
            return self.flush() + self._text_added(previous, token_id)
        return self._utf8.decode(encoded)

    def _is_skipped(self, token_id: int) -> bool:
        return self._skip_special_tokens and (
            not self._tokenizer.decode([token_id], skip_special_tokens=True)
            and bool(self._tokenizer.decode([token_id], skip_special_tokens=False))
        )

    def _bytes_of(self, token: str) -> bytes | None:
        if self._is_byte_level:
            return _byte_level_bytes(token)
        if self._has_byte_tokens and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(match[1])
        return None

    def _text_added(self, previous: list[int], token_id: int) -> str:
        before = self._tokenizer.decode(previous, skip_special_tokens=False)
        both: str = self._tokenizer.decode([*previous, token_id], skip_special_tokens=False)
        return both[len(before) :]


def _decoder_reads(tokenizer: Tokenizer, token: str, text: str) -> bool:
    return tokenizer.decoder is not None and tokenizer.decoder.decode([token]) == text


def _byte_level_bytes(token: str) -> bytes:
    """Added tokens may hold characters that are no symbols for bytes; such a token is plain text."""
    try:
        return bytes(BYTE_OF_SYMBOL[character] for character in token)
    except KeyError:
        return token.encode()
