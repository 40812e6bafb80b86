"""Each tokenizer is parsed once and each kind of model is built once, whatever comes and goes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from models.engines.kept_parts import KeptParts
from models.engines.parts import FRESH
from models.engines.pretrained import AutoClass
from models.manifest import FileEntry, Manifest
from tests.unit.models.checkpoints import logits, mixtral, write_checkpoint
from tests.unit.models.engines.tiny_llama import TinyLlama, write_tiny_llama


class Counted:
    """Fresh parts, with a count of the calls and of how many models were built at once."""

    def __init__(self) -> None:
        self.models = self.tokenizers = self.chat_tokenizers = self.most_at_once = 0
        self._now = 0
        self._lock = Lock()

    def model(
        self, auto_class: AutoClass, folder: Path, manifest: Manifest, device: str, unused: str | None = None
    ) -> PreTrainedModel:
        self.models += 1
        self._enter(1)
        time.sleep(0.02)
        model = FRESH.model(auto_class, folder, manifest, device, unused)
        self._enter(-1)
        return model

    def tokenizer(self, folder: Path, manifest: Manifest) -> Tokenizer:
        self.tokenizers += 1
        return FRESH.tokenizer(folder, manifest)

    def chat_tokenizer(self, folder: Path, manifest: Manifest) -> PreTrainedTokenizerBase:
        self.chat_tokenizers += 1
        return FRESH.chat_tokenizer(folder, manifest)

    def _enter(self, change: int) -> None:
        with self._lock:
            self._now += change
            self.most_at_once = max(self.most_at_once, self._now)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return write_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture
def counted() -> Counted:
    return Counted()


def with_tokenizer(manifest: Manifest, letter: str) -> Manifest:
    entry = FileEntry(path="tokenizer.json", size_bytes=1, sha256=letter * 64)
    return manifest.model_copy(update={"files": (entry,)})


def test_a_kind_of_model_is_built_once(counted: Counted, tiny: TinyLlama) -> None:
    parts = KeptParts(counted)
    models = [parts.model(AutoModelForCausalLM, tiny.folder, tiny.manifest, "cpu") for _ in range(3)]
    assert counted.models == 1
    assert len({id(model) for model in models}) == 3
    assert torch.equal(logits(models[0]), logits(models[2]))


def test_a_model_without_a_skeleton_is_built_each_time_and_one_at_a_time(
    counted: Counted, tiny: TinyLlama, tmp_path: Path
) -> None:
    """Two ``from_pretrained`` at once leave ``PreTrainedModel.tie_weights`` replaced for good."""
    folder = write_checkpoint(tmp_path, mixtral())
    parts = KeptParts(counted)
    with ThreadPoolExecutor(2) as threads:
        loads = [threads.submit(parts.model, AutoModelForCausalLM, folder, tiny.manifest, "cpu") for _ in range(3)]
    first, *others = [logits(each.result()) for each in loads]
    assert counted.models == 3
    assert counted.most_at_once == 1
    assert all(torch.equal(first, other) for other in others)


def test_the_same_tokenizer_is_parsed_once(counted: Counted, tiny: TinyLlama) -> None:
    parts = KeptParts(counted)
    one, tuned, other = (with_tokenizer(tiny.manifest, letter) for letter in "aab")
    assert parts.tokenizer(tiny.folder, one) is parts.tokenizer(tiny.folder, tuned)
    assert parts.chat_tokenizer(tiny.folder, one) is parts.chat_tokenizer(tiny.folder, tuned)
    assert parts.tokenizer(tiny.folder, other) is not parts.tokenizer(tiny.folder, one)
    assert (counted.tokenizers, counted.chat_tokenizers) == (2, 1)
