"""The manifest: everything that is known about a stored model version without opening its weights."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from models.types import Pooling, Task, VersionId, WeightFormat, check_name, check_version

MANIFEST_FILE = "manifest.json"

Name = Annotated[str, AfterValidator(check_name)]


def _number_as_text(value: object) -> object:
    """YAML reads an unquoted 1 as a number; as a version it is the text "1"."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Version = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(check_version)]


def _inside_the_folder(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or path != "/".join(parts):
        raise ValueError(f"{path!r} is not a plain relative path")
    return path


RelativePath = Annotated[str, AfterValidator(_inside_the_folder)]


class Frozen(BaseModel):
    """Immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(Frozen):
    """One file of a version: path relative to the version's folder, size, and SHA-256 in hex."""

    path: RelativePath
    size_bytes: int = Field(ge=0)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArchitectureFacts(Frozen):
    """What the memory planner needs of a transformer's ``config.json``. Counts; dimensions in elements."""

    model_type: str
    architectures: tuple[str, ...] = ()
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    intermediate_size: int | None = None
    vocab_size: int = Field(gt=0)
    max_position_embeddings: int | None = None
    sliding_window: int | None = None
    tie_word_embeddings: bool = False


class TokenizerFacts(Frozen):
    """What can be known of the tokenizer without loading it."""

    tokenizer_class: str | None = None
    vocab_size: int | None = None
    model_max_length: int | None = None
    eos_token: str | None = None
    has_chat_template: bool = False


class TensorFacts(Frozen):
    """An input or output of an ONNX graph; -1 marks a dimension that varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class EmbeddingFacts(Frozen):
    """How token states become an embedding."""

    pooling: Pooling = Pooling.MEAN
    normalize: bool = True
    dimension: int = Field(gt=0)
    max_tokens: int = Field(gt=0)


class Manifest(Frozen):
    """One immutable model version. ``weight_bytes`` is the size of its tensors, as stored."""

    schema_version: Literal[1] = 1
    name: Name
    version: Version
    source: str
    revision: str | None = None
    tokenizer_source: str | None = None
    format: WeightFormat
    task: Task
    files: tuple[FileEntry, ...]
    dtype: str
    num_parameters: int = Field(ge=0)
    weight_bytes: int = Field(ge=0)
    architecture: ArchitectureFacts | None = None
    tokenizer: TokenizerFacts | None = None
    embedding: EmbeddingFacts | None = None
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    licence: str | None = None
    created: datetime

    @property
    def id(self) -> VersionId:
        return VersionId(self.name, self.version)

    @property
    def size_bytes(self) -> int:
        """Bytes on disk of all files together."""
        return sum(entry.size_bytes for entry in self.files)
