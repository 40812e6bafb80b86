"""How a model's token states become one vector, as sentence-transformers writes it down."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, RootModel

from models.errors import SourceError
from models.importing.json_file import read_json
from models.manifest import EmbeddingFacts
from models.types import Pooling

MODULES_FILE = "modules.json"
_SUPPORTED_MODULES = {"Transformer", "Pooling", "Normalize"}
_MODES = {"mean": Pooling.MEAN, "cls": Pooling.CLS}


class _Module(BaseModel):
    path: str
    type: str

    @property
    def kind(self) -> str:
        return self.type.rpartition(".")[2]


class _Modules(RootModel[tuple[_Module, ...]]):
    """The steps from text to vector, in order."""


class _PoolingConfig(BaseModel):
    """``pooling_mode`` is written by newer releases, one flag for each mode by older ones."""

    word_embedding_dimension: int | None = None
    embedding_dimension: int | None = None
    pooling_mode: str | None = None
    pooling_mode_cls_token: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False

    def modes(self) -> list[str]:
        if self.pooling_mode is not None:
            return [self.pooling_mode]
        flags = (name for name, value in self if value is True)
        return [
            name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for name in flags
        ]


class _TransformerConfig(BaseModel):
    max_seq_length: int | None = None


def read_embedding(folder: Path, dimension: int | None, limits: tuple[int | None, ...]) -> EmbeddingFacts:
    """The facts; SourceError when the model does something that the engines cannot.

    ``dimension`` is the model's own, ``limits`` what its parts say of the greatest number of tokens. Without
    sentence-transformers files it is their default: the mean, not normalised.
    """
    path = folder / MODULES_FILE
    modules = read_json(path, _Modules).root if path.exists() else ()
    unsupported = [module.type for module in modules if module.kind not in _SUPPORTED_MODULES]
    if unsupported:
        raise SourceError(
            f"the model needs {', '.join(unsupported)}",
            remedy="only Transformer, Pooling, Normalize are supported",
        )
    pooling = _read_pooling(folder, modules)
    known = [limit for limit in (*limits, _max_seq_length(folder)) if limit is not None]
    dimension = dimension or pooling.word_embedding_dimension or pooling.embedding_dimension
    if dimension is None or not known:
        raise SourceError(
            "the model's files do not say how long its vectors and texts may be",
            remedy="give a tokenizer source that holds the sentence-transformers files of the model",
        )
    return EmbeddingFacts(
        pooling=_only_mode(pooling),
        normalize=any(module.kind == "Normalize" for module in modules),
        dimension=dimension,
        max_tokens=min(known),
    )


def _read_pooling(folder: Path, modules: tuple[_Module, ...]) -> _PoolingConfig:
    paths = [folder / module.path / "config.json" for module in modules if module.kind == "Pooling"]
    return read_json(paths[0], _PoolingConfig) if paths else _PoolingConfig(pooling_mode="mean")


def _only_mode(pooling: _PoolingConfig) -> Pooling:
    modes = pooling.modes()
    if len(modes) != 1 or modes[0] not in _MODES:
        raise SourceError(
            f"the model pools its token states by {' and '.join(modes) or 'nothing'}",
            remedy=f"supported is one of {', '.join(_MODES)}",
        )
    return _MODES[modes[0]]


def _max_seq_length(folder: Path) -> int | None:
    found = sorted(folder.glob("sentence_*_config.json"))
    return read_json(found[0], _TransformerConfig).max_seq_length if found else None
