"""The nouns that every layer shares. Plain frozen values; nothing here imports the rest of Stowage."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
VERSION_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?"
_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)


class Task(StrEnum):
    """What a model does for its caller; it decides which calls it answers."""

    GENERATE = "generate"
    EMBED = "embed"
    INFER = "infer"


class WeightFormat(StrEnum):
    """File formats that hold tensors and nothing executable."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    ONNX = "onnx"


class Pooling(StrEnum):
    """How token states become one vector: the masked mean, or the first token's state."""

    MEAN = "mean"
    CLS = "cls"


class FinishReason(StrEnum):
    """Why a generation ended: a stop string or end-of-sequence token, or a token limit."""

    STOP = "stop"
    LENGTH = "length"


def check_name(value: str) -> str:
    """``value`` if a model can be called so, ValueError otherwise."""
    return _check("name", value, _NAME)


def check_version(value: str) -> str:
    """``value`` if a version can be called so, ValueError otherwise."""
    return _check("version", value, _VERSION)


def _check(label: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(
            f"model {label} {value!r} is not valid: use letters, digits, '.', '_' and '-', "
            "beginning and ending with a letter or digit"
        )
    return value


@dataclass(frozen=True, slots=True, order=True)
class VersionId:
    """One immutable version of one model, written ``name@version``."""

    name: str
    version: str

    def __post_init__(self) -> None:
        check_name(self.name)
        check_version(self.version)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> VersionId:
        """Read ``name@version``; ValueError when either part is missing or malformed."""
        name, separator, version = text.partition("@")
        if not separator:
            raise ValueError(f"{text!r} names no version: write name@version")
        return cls(name, version)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation, in the words of the chat template: role and text."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A prompt that still has to go through the model's chat template."""

    messages: tuple[ChatMessage, ...]


Prompt = str | tuple[int, ...] | Conversation


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen.

    ``temperature`` 0 is greedy; ``top_k`` 0 is off; ``max_tokens`` None means up to the context limit;
    ``seed`` None draws a fresh one.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt to continue. ``request_id`` is unique within the cluster."""

    request_id: str
    prompt: Prompt
    sampling: SamplingParams = field(default_factory=SamplingParams)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """The text that became certain since the last chunk; the last chunk has a reason and the usage."""

    text: str
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts, or already tokenised texts, to embed. One vector each, in order."""

    inputs: tuple[str | tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """``vectors``: float32 of shape [num_inputs, embedding_dim]."""

    vectors: npt.NDArray[np.float32]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor. ``datatype`` is an Open Inference Protocol name (FP32, INT64, BYTES, ...);
    BYTES tensors hold ``bytes`` objects in an object array."""

    name: str
    datatype: str
    data: npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that a model takes or gives; -1 marks a dimension that varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InferRequest:
    """Tensors in; ``outputs`` names the tensors wanted back, all of them when empty."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a replica says of the model that it has loaded."""

    id: VersionId
    task: Task
    engine: str
    created_unix_s: int
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    max_model_len: int | None = None
    embedding_dim: int | None = None
    licence: str | None = None
    planned_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot of an engine's load. KV counts are pages; zero for engines without a KV cache."""

    num_running: int = 0
    num_waiting: int = 0
    num_kv_pages_used: int = 0
    num_kv_pages: int = 0
