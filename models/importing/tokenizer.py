"""What a tokenizer's files say, without building the tokenizer."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.importing.json_file import read_json
from models.manifest import TokenizerFacts
from models.selection import is_vocabulary_file

# transformers writes int(1e30) where a tokenizer knows no limit.
_NO_LIMIT = 10**9


class _Token(BaseModel):
    content: str


class _TokenizerConfig(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    tokenizer_class: str | None = None
    model_max_length: float | None = None
    eos_token: str | _Token | None = None
    chat_template: object = None


class _AddedToken(BaseModel):
    id: int


class _Model(BaseModel):
    type: str | None = None
    vocab: dict[str, int] | list[object]


class _Tokenizer(BaseModel):
    model: _Model
    added_tokens: list[_AddedToken] = []

    @property
    def vocab_size(self) -> int:
        """One more than the greatest token id."""
        vocab = self.model.vocab
        ids = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
        return 1 + max([*ids, *(token.id for token in self.added_tokens)], default=-1)


def read_tokenizer(folder: Path) -> TokenizerFacts | None:
    """The facts; None when the folder holds no vocabulary. SourceError when a file cannot be read."""
    if not any(is_vocabulary_file(path.name) for path in folder.iterdir()):
        return None
    path = folder / "tokenizer_config.json"
    config = read_json(path, _TokenizerConfig) if path.exists() else _TokenizerConfig()
    limit = config.model_max_length
    fast = folder / "tokenizer.json"  # absent where only the files of a slow tokenizer are there
    tokenizer = read_json(fast, _Tokenizer) if fast.exists() else None
    return TokenizerFacts(
        tokenizer_class=config.tokenizer_class,
        algorithm=tokenizer.model.type if tokenizer else None,
        vocab_size=tokenizer.vocab_size if tokenizer else None,
        model_max_length=int(limit) if limit is not None and limit < _NO_LIMIT else None,
        eos_token=config.eos_token.content if isinstance(config.eos_token, _Token) else config.eos_token,
        has_chat_template=config.chat_template is not None or _has_template_file(folder),
    )


def _has_template_file(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("chat_template.jinja", "chat_template.json"))
