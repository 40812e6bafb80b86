"""Parts for a process that opens and closes many engines."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from models.engines.parts import Parts
from models.manifest import Manifest
from models.selection import tokenizer_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from models.engines.pretrained import AutoClass
    from models.engines.skeleton import Skeleton

T = TypeVar("T")


class KeptParts:
    """Parses each tokenizer once and keeps it; builds the first model of each kind and fills its skeleton after.

    Both hold Python's interpreter lock, and with it every engine of the process: a large vocabulary for 60 ms.
    Models are for the CPU. ``fresh`` builds them one at a time: while ``from_pretrained`` works, it replaces
    ``tie_weights``, the initialisers and the default dtype for the whole process, and two at once would put back
    each other's replacements.
    """

    def __init__(self, fresh: Parts) -> None:
        self._fresh = fresh
        self._lock = Lock()
        self._skeletons: dict[Hashable, Skeleton | None] = {}
        self._tokenizers: dict[Hashable, Tokenizer] = {}
        self._chat_tokenizers: dict[Hashable, PreTrainedTokenizerBase] = {}

    def model(
        self, auto_class: AutoClass, folder: Path, manifest: Manifest, device: str, unused: str | None = None
    ) -> PreTrainedModel:
        from models.engines.skeleton import kind_of, take_skeleton  # noqa: PLC0415  ONNX engines have no torch

        kind = auto_class, kind_of(folder)
        with self._lock:
            skeleton = self._skeletons.get(kind)
            if skeleton is None:
                model = self._fresh.model(auto_class, folder, manifest, device, unused)
                if kind not in self._skeletons:
                    self._skeletons[kind] = take_skeleton(model, folder, unused)
                return model
        return skeleton.fill(folder)

    def tokenizer(self, folder: Path, manifest: Manifest) -> Tokenizer:
        return self._parsed_once(self._tokenizers, self._fresh.tokenizer, folder, manifest)

    def chat_tokenizer(self, folder: Path, manifest: Manifest) -> PreTrainedTokenizerBase:
        return self._parsed_once(self._chat_tokenizers, self._fresh.chat_tokenizer, folder, manifest)

    def _parsed_once(
        self, kept: dict[Hashable, T], parse: Callable[[Path, Manifest], T], folder: Path, manifest: Manifest
    ) -> T:
        key = tokenizer_of(manifest)
        with self._lock:
            if key not in kept:
                kept[key] = parse(folder, manifest)
            return kept[key]
