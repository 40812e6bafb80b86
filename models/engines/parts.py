"""What engines are made of: models and tokenizers, from the files of a stored version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tokenizers import Tokenizer

from models.errors import ConfigError
from models.manifest import Manifest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from models.engines.pretrained import AutoClass

TOKENIZER_FILE = "tokenizer.json"


class Parts(Protocol):
    """Gives an engine its parts; may be called from several threads. No engine changes a tokenizer."""

    def model(
        self, auto_class: AutoClass, folder: Path, manifest: Manifest, device: str, unused: str | None = None
    ) -> PreTrainedModel:
        """As ``load_pretrained``."""

    def tokenizer(self, folder: Path, manifest: Manifest) -> Tokenizer:
        """Of ``tokenizer.json`` alone, without truncation and padding. ConfigError when the file is not there."""

    def chat_tokenizer(self, folder: Path, manifest: Manifest) -> PreTrainedTokenizerBase:
        """Of all the tokenizer's files, chat template included."""


class FreshParts:
    """Reads everything anew, for processes that hold one engine."""

    def model(
        self, auto_class: AutoClass, folder: Path, manifest: Manifest, device: str, unused: str | None = None
    ) -> PreTrainedModel:
        from models.engines.pretrained import load_pretrained  # noqa: PLC0415  ONNX engines have no torch

        return load_pretrained(auto_class, folder, manifest, device, unused)

    def tokenizer(self, folder: Path, manifest: Manifest) -> Tokenizer:
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise ConfigError(
                f"{manifest.id} has no {TOKENIZER_FILE}",
                remedy="name a source that has one as this model's 'tokenizer', and import it again",
            )
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def chat_tokenizer(self, folder: Path, manifest: Manifest) -> PreTrainedTokenizerBase:  # noqa: ARG002
        from transformers import AutoTokenizer  # noqa: PLC0415  ONNX engines have no transformers

        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return tokenizer


FRESH = FreshParts()
