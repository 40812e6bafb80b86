"""Which files of a source become part of a version: one format's weights and an allow-list of text beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from models.errors import SourceError, UnsafeWeightsError
from models.manifest import Manifest
from models.types import WeightFormat
from models.weight_source import Contents, SourceFile

INDEX_FILE = "model.safetensors.index.json"
ONE_FILE = "model.safetensors"

_VOCABULARY = re.compile(
    r"(?:tokenizer\.(?:json|model)|vocab\.(?:json|txt)|spiece\.model|sentencepiece\.bpe\.model)"
)
_TOKENIZER = re.compile(
    rf"(?:{_VOCABULARY.pattern}|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|merges\.txt"
    r"|chat_template\.json|[^/]+\.jinja|additional_chat_templates/[^/]+\.jinja)"
)
_POOLING = re.compile(r"(?:modules\.json|sentence_\w+_config\.json|\d+_[A-Za-z]+/config\.json)")
_CONFIG = re.compile(r"(?:generation_)?config\.json")
_DOCUMENTS = re.compile(r"(?:(?:LICEN[CS]E|COPYING|NOTICE)[^/]*|README\.md)", re.IGNORECASE)
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_EXTERNAL_DATA = re.compile(r"\.onnx[._]data(?:_\d+)?$")
_TORCH_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_OTHER_EXECUTABLE = (".pkl", ".pickle", ".joblib", ".h5", ".keras", ".mar", ".nemo")


@dataclass(frozen=True, slots=True)
class Selection:
    """``format`` None means a pickled state dict, which is only selected when that was allowed."""

    format: WeightFormat | None
    weights: tuple[SourceFile, ...]
    sidecars: tuple[SourceFile, ...]


def select_files(contents: Contents, origin: str, *, allow_pickle: bool) -> Selection:
    """The weights of the safest format that is there (safetensors, then ONNX, then GGUF) and what belongs to them.

    SourceError when there are none or the choice is not clear; UnsafeWeightsError when all are pickled.
    """
    weights_format, weights = _weights(contents.files, origin, allow_pickle)
    converted_whole = weights_format is WeightFormat.GGUF
    patterns = (_DOCUMENTS,) if converted_whole else (_DOCUMENTS, _CONFIG, _TOKENIZER, _POOLING)
    return Selection(weights_format, weights, _matching(contents.files, *patterns))


def select_tokenizer(contents: Contents, origin: str, *, with_pooling: bool) -> tuple[SourceFile, ...]:
    """The tokenizer, and if wanted the pooling, files of a second source; SourceError without a tokenizer."""
    if not _matching(contents.files, _VOCABULARY):
        raise SourceError(
            f"{origin} holds no tokenizer",
            remedy=f"name a source that holds tokenizer.json; it holds {_listing(contents.files)}",
        )
    return _matching(contents.files, _TOKENIZER, *([_POOLING] if with_pooling else []))


def is_tokenizer_file(name: str) -> bool:
    """Whether a file of a version belongs to its tokenizer or chat template."""
    return _TOKENIZER.fullmatch(name) is not None


def is_config_file(name: str) -> bool:
    """Whether a file of a version says how its model is built, or how it generates."""
    return _CONFIG.fullmatch(name) is not None


def tokenizer_of(manifest: Manifest) -> frozenset[tuple[str, str]]:
    """The names and SHA-256 of the tokenizer's files: equal for versions whose tokenizers are the same."""
    return frozenset((each.path, each.sha256) for each in manifest.files if is_tokenizer_file(each.path))


def is_vocabulary_file(name: str) -> bool:
    """Whether a file of a version says which tokens there are, without which there is no tokenizer."""
    return _VOCABULARY.fullmatch(name) is not None


def is_weight_file(name: str) -> bool:
    """Whether a file of a version holds safetensors, or says which file holds which."""
    return name == INDEX_FILE or name.endswith(".safetensors")


def is_pooling_file(name: str) -> bool:
    """Whether a file of a version says how its embeddings are made."""
    return _POOLING.fullmatch(name) is not None


def name_in_version(file: SourceFile) -> str:
    """The file's name inside the version: weights lie at its top, and a lone safetensors file has one name."""
    name = PurePosixPath(file.name).name
    if name.endswith(".safetensors") and not _SHARD.fullmatch(name):
        return ONE_FILE
    return name if name.endswith(".onnx") or _EXTERNAL_DATA.search(name) else file.name


def _weights(
    files: tuple[SourceFile, ...], origin: str, allow_pickle: bool
) -> tuple[WeightFormat | None, tuple[SourceFile, ...]]:
    if safetensors := _safetensors(files, origin):
        return WeightFormat.SAFETENSORS, safetensors
    if graphs := _ending(files, ".onnx"):
        graph = _only(graphs, origin)
        data = [each for each in files if _is_external_data(each, graph)]
        return WeightFormat.ONNX, (graph, *data)
    if gguf := _ending(files, ".gguf"):
        return WeightFormat.GGUF, (_only(gguf, origin),)
    return None, (_pickle(files, origin, allow_pickle),)


def _safetensors(files: tuple[SourceFile, ...], origin: str) -> tuple[SourceFile, ...]:
    top = [file for file in _ending(files, ".safetensors") if "/" not in file.name]
    index = [file for file in files if file.name == INDEX_FILE]
    if index:
        return (*index, *(file for file in top if _SHARD.fullmatch(file.name)))
    whole = [file for file in top if file.name == ONE_FILE]
    if whole or not top:
        return tuple(whole)
    return (_only(top, origin),)


def _is_external_data(file: SourceFile, graph: SourceFile) -> bool:
    """Whether an ONNX graph may refer to the file: by custom it lies beside it and is named after it."""
    here, there = PurePosixPath(file.name), PurePosixPath(graph.name)
    return here.parent == there.parent and _EXTERNAL_DATA.search(here.name) is not None


def _pickle(files: tuple[SourceFile, ...], origin: str, allow_pickle: bool) -> SourceFile:
    """The pickled state dict to convert; UnsafeWeightsError unless that is allowed."""
    torch_files = [file for file in _ending(files, *_TORCH_PICKLES) if "/" not in file.name]
    refused = torch_files or _ending(files, *_OTHER_EXECUTABLE)
    if not refused:
        raise SourceError(
            f"{origin} holds no weights in safetensors, ONNX or GGUF", remedy=f"it holds {_listing(files)}"
        )
    if not torch_files or not allow_pickle:
        raise UnsafeWeightsError(
            f"{origin} holds only {_listing(tuple(refused))}: such a file can run any code when it is opened",
            remedy="use a safetensors, ONNX or GGUF file of the model"
            + ("; or allow_pickle to convert its tensors without running code" if torch_files else ""),
        )
    named = [file for file in torch_files if file.name == "pytorch_model.bin"]
    return _only(named or torch_files, origin)


def _ending(files: tuple[SourceFile, ...], *suffixes: str) -> list[SourceFile]:
    return [file for file in files if file.name.lower().endswith(suffixes)]


def _matching(files: tuple[SourceFile, ...], *patterns: re.Pattern[str]) -> tuple[SourceFile, ...]:
    return tuple(file for file in files if any(pattern.fullmatch(file.name) for pattern in patterns))


def _only(files: list[SourceFile], origin: str) -> SourceFile:
    if len(files) > 1:
        raise SourceError(
            f"{origin} holds {len(files)} models: {_listing(tuple(files))}",
            remedy="name one of them in the source",
        )
    return files[0]


def _listing(files: tuple[SourceFile, ...]) -> str:
    names = [file.name for file in files[:20]]
    more = [f"and {len(files) - 20} more"] if len(files) > 20 else []
    return ", ".join([*names, *more]) or "nothing"
