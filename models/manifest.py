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


class LatentAttention(Frozen):
    """Multi-head latent attention: a token is cached as ``kv_lora_rank + qk_rope_head_dim`` elements a layer.

    Queries and keys have ``qk_nope_head_dim + qk_rope_head_dim`` elements a head, values ``v_head_dim``
    (DeepSeek-V2, arXiv 2405.04434, section 2.1).
    """

    kv_lora_rank: int = Field(gt=0)
    qk_rope_head_dim: int = Field(ge=0)
    qk_nope_head_dim: int = Field(ge=0)
    v_head_dim: int = Field(gt=0)


class ExpertFacts(Frozen):
    """A mixture of experts. Widths in elements; ``shared_intermediate_size`` of all shared experts together."""

    num_experts: int = Field(gt=0)
    num_experts_per_token: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    shared_intermediate_size: int = Field(default=0, ge=0)

    @property
    def active_intermediate_size(self) -> int:
        """The width that one token goes through."""
        return self.num_experts_per_token * self.intermediate_size + self.shared_intermediate_size


class EncoderFacts(Frozen):
    """The encoder of an encoder-decoder, whose states the decoder's cross-attention reads.

    ``max_tokens`` are the positions that it gives for one input, None where any number may.
    """

    num_layers: int = Field(gt=0)
    max_tokens: int | None = Field(default=None, gt=0)


class ImageFacts(Frozen):
    """An encoder of images of ``image_size`` pixels squared.

    A transformer cuts patches of ``patch_size`` pixels; a convolutional network gives feature maps, one for the
    stem and one for each stage: ``channels``, each ``reductions`` times smaller than the image.
    """

    image_size: int = Field(gt=0)
    patch_size: int | None = Field(default=None, gt=0)
    channels: tuple[int, ...] = ()
    reductions: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Patches and the class token; 0 for a convolutional network."""
        return 0 if self.patch_size is None else (self.image_size // self.patch_size) ** 2 + 1


class QuantizationFacts(Frozen):
    """``quantization_config``, for the record: the bytes of the weights come from their headers."""

    method: str
    bits: int | None = None


class ArchitectureFacts(Frozen):
    """What the memory planner needs of a model's ``config.json``. Counts; dimensions in elements.

    Of an encoder-decoder the layers are the decoder's. ``layer_types`` has transformers' name of each layer's
    kind (``full_attention``, ``sliding_attention``, ``linear_attention``, ...); empty: full attention in all.
    ``recurrent_state_size``: elements that a recurrent layer keeps of a sequence, however long that is.
    Zero heads: a convolutional network; zero ``vocab_size``: a model that reads no text.
    """

    model_type: str
    architectures: tuple[str, ...] = ()
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(ge=0)
    num_key_value_heads: int = Field(ge=0)
    head_dim: int = Field(ge=0)
    intermediate_size: int | None = None
    vocab_size: int = Field(ge=0)
    max_position_embeddings: int | None = None
    sliding_window: int | None = None
    layer_types: tuple[str, ...] = ()
    recurrent_state_size: int = Field(default=0, ge=0)
    latent_attention: LatentAttention | None = None
    experts: ExpertFacts | None = None
    encoder: EncoderFacts | None = None
    image: ImageFacts | None = None
    quantization: QuantizationFacts | None = None
    tie_word_embeddings: bool = False


class TokenizerFacts(Frozen):
    """What can be known of the tokenizer without loading it.

    ``algorithm`` is the model's type in ``tokenizer.json``: BPE, WordPiece, Unigram or WordLevel.
    """

    tokenizer_class: str | None = None
    algorithm: str | None = None
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


class LayerBytes(Frozen):
    """Stored bytes of one layer, and of ``num_layers - 1`` after it that are as large.

    Of ``bytes``, matrices of ``row_bytes`` can be divided by their rows, and matrices of ``column_bytes`` by their
    columns; each rank of tensor parallelism has the rest.
    """

    num_layers: int = Field(default=1, gt=0)
    bytes: int = Field(ge=0)
    row_bytes: int = Field(default=0, ge=0)
    column_bytes: int = Field(default=0, ge=0)


class WeightAccount(Frozen):
    """Where the stored bytes of one stack of layers are: before it, in it, and after it.

    ``head_bytes`` are 0 for a model without a head, and where the head is the embedding, whose rows both can be
    divided by; ``norm_bytes`` are of the norm before the head.
    """

    embedding_bytes: int = Field(ge=0)
    layers: tuple[LayerBytes, ...]
    norm_bytes: int = Field(default=0, ge=0)
    head_bytes: int = Field(default=0, ge=0)

    @property
    def each_layer(self) -> tuple[LayerBytes, ...]:
        """As many as the model has layers."""
        return tuple(layer for layer in self.layers for _ in range(layer.num_layers))


class Manifest(Frozen):
    """One immutable model version. ``weight_bytes`` is the size of its tensors, as stored.

    ``shared_weight_bytes``: how many of them a process uses where they lie in the mapped file, so that replicas on
    a CPU node hold them once between them; None: all, as in manifests from before this was told apart.
    ``weight_account`` is None for what is not one stack of layers, and in manifests from before there was one.
    """

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
    shared_weight_bytes: int | None = Field(default=None, ge=0)
    weight_account: WeightAccount | None = None
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
