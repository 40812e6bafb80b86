"""Small real tokenizers, trained on the spot: one for each way in which vocabularies store text."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL = "<|end|>"
CORPUS = (
    "The quick brown fox jumps over the lazy dog, and doesn't stop. " * 3,
    "Größe, naïve café, Ελληνικά, Привет мир",
    "你好世界。今日は良い天気ですね。 안녕하세요",
    "😀😀😀😀😀😀😀😀 👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 n\u0303",
    "def f(x):\n    return  x + 1\n",
)


def id_of(tokenizer: Tokenizer, token: str = SPECIAL) -> int:
    """The id of a token that is there."""
    found = tokenizer.token_to_id(token)
    assert found is not None
    return found


def byte_level() -> Tokenizer:
    """Byte-level BPE, whose tokens begin and end anywhere inside a character (GPT-2, Llama 3, SmolLM2)."""
    tokenizer = Tokenizer(models.BPE())
    # Without its regular expression the pre-tokenizer lets merges cross words, emoji and lines.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[SPECIAL],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_fallback() -> Tokenizer:
    """SentencePiece-like BPE: "▁" for spaces, byte tokens for unknown characters (Llama 2, Gemma)."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = "▁abcdefghijklmnopqrstuvwxyzTHE.,你"
    merges = [("t", "h"), ("▁", "th"), ("▁", "a"), ("▁", "▁"), ("o", "u")]
    pieces = ["<unk>", *byte_tokens, *letters, *("".join(merge) for merge in merges)]
    model = models.BPE(
        {piece: index for index, piece in enumerate(pieces)},
        merges,
        unk_token="<unk>",
        byte_fallback=True,
        fuse_unk=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(SPECIAL, special=True)])
    return tokenizer


def metaspace() -> Tokenizer:
    """Unigram with the Metaspace decoder, which drops the first token's space (T5, XLM-R)."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=[SPECIAL, "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    """WordPiece, which puts spaces between tokens and takes some away again (BERT)."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", SPECIAL], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def suffixed() -> Tokenizer:
    """BPE with a suffix at each word's end, which becomes a space only when a word follows (GPT-1, CLIP)."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", SPECIAL], end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer
