"""The validated description of one model version, as an operator writes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from models.manifest import Frozen, Name, Version
from models.types import Task, VersionId

EngineName = Literal["transformers", "vllm", "embedding", "onnx"]
# Those that generate, from a KV cache in pages.
PAGED_ENGINES: frozenset[EngineName] = frozenset({"transformers", "vllm"})
DType = Literal["float32", "bfloat16", "float16"]

MAX_NUM_SEQS = 1024
MAX_BATCH_SIZE = 4096

Source = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Limits(Frozen):
    """What one replica must be able to hold; the memory plan follows from it.

    Lengths are in tokens. ``max_batch_tokens`` bounds one step of continuous batching, ``max_batch_size`` one
    batch of inputs of the other engines, ``batch_wait_s`` how long the first input of a batch waits for others.
    """

    max_model_len: int | None = Field(default=None, gt=0, description="None: what the model was trained for")
    max_num_seqs: int = Field(default=8, gt=0, le=MAX_NUM_SEQS)
    max_batch_tokens: int = Field(default=512, ge=16)
    max_batch_size: int = Field(default=32, gt=0, le=MAX_BATCH_SIZE)
    batch_wait_s: float = Field(default=0.005, ge=0, le=1)
    page_size: int = Field(default=32, ge=4, description="tokens in one page of the KV cache")


class ModelSpec(Frozen):
    """One model version: which one, where its weights come from, what it does, what it must hold.

    ``tokenizer`` is a second source, for weights that come without one. ``dtype`` is the type of the stored
    weights, cast once, at import (None: as they are; float32 for a GGUF file or a pickled state dict). An ONNX
    graph and quantised weights are never cast.
    ``allow_pickle`` lets the import convert a pickled state dict through ``torch.load(weights_only=True)``;
    nothing else is ever unpickled.
    """

    model: Name
    version: Version = "1"
    source: Source | None = None
    tokenizer: Source | None = None
    task: Task | None = None
    engine: EngineName | None = None
    dtype: DType | None = None
    limits: Limits = Limits()
    allow_pickle: bool = False

    @property
    def id(self) -> VersionId:
        return VersionId(self.model, self.version)
