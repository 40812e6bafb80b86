"""One replica to be sized: from limits to bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.errors import ConfigError
from models.hardware import Device
from models.manifest import Manifest
from models.memory.generation_terms import generation_terms, page_layout
from models.memory.kv_cache import CacheLayout
from models.memory.overheads import Overheads
from models.memory.terms import (
    MemoryTerm,
    batch_activations,
    context,
    graph_activations,
    margin,
    required_architecture,
    runtime,
    session,
    tokenizer,
    weights,
)
from models.spec import EngineName, Limits

CountField = Literal["max_num_seqs", "max_batch_size"]


def count_field(engine: EngineName) -> CountField:
    """The limit that says how many inputs an engine works on at once."""
    return "max_num_seqs" if engine == "transformers" else "max_batch_size"


def largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest value from ``low`` to ``high`` that fits, by bisection; ``low`` when none does."""
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class Replica:
    """Everything that its bytes depend on, but its limits and the pages of its KV cache."""

    manifest: Manifest
    engine: EngineName
    device: Device
    overheads: Overheads

    def terms(self, limits: Limits, num_kv_pages: int) -> tuple[MemoryTerm, ...]:
        """What lies on the device: on a GPU the context instead of the process. ConfigError when facts lack."""
        working = self._working_terms(limits, num_kv_pages)
        on_gpu = (context(self.overheads.of(self.engine, self.device.kind)),)
        return (
            *weights(self.manifest, self.engine, self.device),
            *working,
            margin(working, self.engine, self.device),
            *(self._process_terms() if self.device.kind == "cpu" else on_gpu),
        )

    def host_terms(self) -> tuple[MemoryTerm, ...]:
        """What lies in the node's memory beside a GPU; nothing on a CPU node, where the device is that memory.

        While it loads, a replica also maps the file of the weights, whose pages the system takes back at need.
        """
        return () if self.device.kind == "cpu" else self._process_terms()

    def layout(self, limits: Limits) -> CacheLayout | None:
        """How the KV cache is paged; None for an engine without one."""
        return page_layout(self.manifest, limits) if self.engine == "transformers" else None

    def num_pages(self, limits: Limits) -> int:
        """Pages with which every sequence can be as long as the limits say."""
        layout = self.layout(limits)
        return 0 if layout is None else layout.num_pages_for(limits.max_num_seqs, self.model_len(limits))

    def total_bytes(self, limits: Limits, num_kv_pages: int | None = None) -> int:
        """On the device; ``num_kv_pages`` None: as many as the limits need."""
        num_pages = self.num_pages(limits) if num_kv_pages is None else num_kv_pages
        return sum(term.bytes for term in self.terms(limits, num_pages))

    def model_len(self, limits: Limits) -> int:
        """The context length in tokens: the operator's, or what the model was trained for.

        ConfigError when the operator's exceeds the model's, or when neither is known and the KV cache needs it.
        """
        trained, wanted = _trained_len(self.manifest), limits.max_model_len
        if wanted is not None and trained is not None and wanted > trained:
            raise ConfigError(
                f"limits.max_model_len of {self.manifest.id} is {wanted}, but it was trained for {trained} tokens",
                remedy=f"set limits.max_model_len to {trained} or less",
            )
        length = wanted or trained
        if length is None and self.engine == "transformers":
            required_architecture(self.manifest)
            raise ConfigError(
                f"how long the context of {self.manifest.id} may be is not known: its config.json has no maximum",
                remedy="set limits.max_model_len",
            )
        return length or 1

    def _process_terms(self) -> tuple[MemoryTerm, ...]:
        """What the process takes besides the model's tensors."""
        return *tokenizer(self.manifest), runtime(self.overheads.of(self.engine, self.device.kind))

    def _working_terms(self, limits: Limits, num_kv_pages: int) -> tuple[MemoryTerm, ...]:
        """What depends on the engine."""
        length = self.model_len(limits)
        if self.engine == "transformers":
            return generation_terms(self.manifest, limits, length, num_kv_pages)
        if self.engine == "onnx":
            return session(self.manifest), graph_activations(self.manifest, limits.max_batch_size, length)
        return (batch_activations(self.manifest, limits.max_batch_size, length),)


def _trained_len(manifest: Manifest) -> int | None:
    if manifest.embedding is not None:
        return manifest.embedding.max_tokens
    return manifest.architecture.max_position_embeddings if manifest.architecture else None
