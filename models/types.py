"""The nouns that every layer shares. Plain frozen values that import nothing but one another."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Self

from models.tools import ToolCall, ToolCallPiece, Tools

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
VERSION_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?"
_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)


class Sent:
    """What goes to replicas and back with every request: pickled as a call of its class with its fields.

    That takes less than half the time of the state that ``dataclass`` makes of slots.
    """

    __slots__: ClassVar[tuple[str, ...]] = ()

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), tuple([getattr(self, name) for name in self.__slots__])


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
    """Why a generation ended: a stop string or end-of-sequence token, a token limit, or calls to answer."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


class GrammarKind(StrEnum):
    """How the text of a grammar is written: a JSON schema, a regular expression, a JSON array of strings of which
    one is to be chosen, or Lark."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    LARK = "lark"


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
class ChatMessage(Sent):
    """One turn of a conversation, in the words of the chat template: role and text.

    ``tool_calls`` are those of an assistant's turn; ``tool_call_id`` is the call whose result a tool's turn gives.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation(Sent):
    """A prompt that still has to go through the model's chat template."""

    messages: tuple[ChatMessage, ...]
    tools: Tools | None = None


Prompt = str | tuple[int, ...] | Conversation


@dataclass(frozen=True, slots=True)
class SamplingParams(Sent):
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
class Grammar:
    """What a whole continuation has to match. ``param`` names the request's field that it came from."""

    kind: GrammarKind
    text: str
    param: str


@dataclass(frozen=True, slots=True)
class GenerationRequest(Sent):
    """One prompt to continue. ``request_id`` is unique within the cluster."""

    request_id: str
    prompt: Prompt
    sampling: SamplingParams = field(default_factory=SamplingParams)
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class Usage(Sent):
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class GenerationChunk(Sent):
    """The text that became certain since the last chunk; the last chunk has a reason and the usage.

    ``num_tokens`` counts what was generated since the last chunk, shown or not; ``num_prompt_tokens`` is set on
    the first chunk only. So what a stream has used is known wherever it is cut. ``stop_string`` is the one that
    ended the text, on the last chunk.
    """

    text: str
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    num_tokens: int = 0
    num_prompt_tokens: int = 0
    tool_calls: tuple[ToolCallPiece, ...] = ()
    stop_string: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingRequest(Sent):
    """Texts, or already tokenised texts, to embed. One vector each, in order."""

    inputs: tuple[str | tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class EmbeddingResult(Sent):
    """``vectors``: float32 of shape [num_inputs, embedding_dim]."""

    vectors: npt.NDArray[np.float32]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Tensor(Sent):
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
class InferRequest(Sent):
    """Tensors in; ``outputs`` names the tensors wanted back, all of them when empty."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a deployed version. ``max_concurrency``: requests that one replica works on at once.

    ``num_ranks``: processes between which one replica is divided. ``args_digest`` is the same as long as
    the version is deployed alike.
    """

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
    max_concurrency: int | None = None
    num_ranks: int = 1
    args_digest: str | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot of an engine's load. KV counts are pages; zero for engines without a KV cache.

    ``num_waiting_tokens``: of the prompts of requests that wait.
    """

    num_running: int = 0
    num_waiting: int = 0
    num_waiting_tokens: int = 0
    num_kv_pages_used: int = 0
    num_kv_pages: int = 0
