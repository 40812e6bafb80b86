"""One process of a replica: of the model what lies in it, and the bytes that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.hardware import Device
from models.manifest import ArchitectureFacts, Manifest
from models.memory.account import Holding, holding, required_account
from models.memory.generation_terms import generation_terms, vllm_terms
from models.memory.kv_cache import layer_types
from models.memory.overheads import Overhead
from models.memory.role import ALONE, Role, role_of
from models.memory.terms import (
    MemoryTerm,
    asleep,
    batch_activations,
    context,
    graph_activations,
    item_bytes,
    margin,
    required_architecture,
    runtime,
    session,
    tokenizer,
    weights,
)
from models.parallel.layout import Shard
from models.spec import EngineName, Limits

# Buffers of NCCL's communicators, for each of its channels.
_NCCL_BYTES = 1 << 30
_NCCL_SOURCE = "buffers of NCCL, not measured here: of its issues 864 (1.6 GB with the context) and 1685 (1.1 GB)"


@dataclass(frozen=True, slots=True)
class Process:
    """``manifest`` says what of the model lies here, ``weights`` are the terms of its tensors."""

    manifest: Manifest
    weights: tuple[MemoryTerm, ...]
    role: Role
    engine: EngineName
    device: Device
    overhead: Overhead

    def terms(self, limits: Limits, max_model_len: int, num_kv_pages: int) -> tuple[MemoryTerm, ...]:
        """What lies on the device: on a GPU the context instead of the process. ConfigError when facts lack."""
        working = self._working_terms(limits, max_model_len, num_kv_pages)
        return (
            *self.weights,
            *working,
            margin(working, self.engine, self.device),
            *(self._host_terms() if self.device.kind == "cpu" else self._cuda_terms()),
        )

    def host_terms(self, *, sleeps: bool = False) -> tuple[MemoryTerm, ...]:
        """What lies in the node's memory beside a GPU; nothing on a CPU node, where the device is that memory.

        ``sleeps``: at times the weights lie there too. While it loads, a process also maps their file, whose pages
        the system takes back at need.
        """
        if self.device.kind == "cpu":
            return ()
        return (*self._host_terms(), *(map(asleep, self.weights) if sleeps else ()))

    def _cuda_terms(self) -> tuple[MemoryTerm, ...]:
        """What CUDA and, in a group, NCCL take of the device."""
        if self.role.is_alone:
            return (context(self.overhead),)
        return context(self.overhead), MemoryTerm("communication", _NCCL_BYTES, _NCCL_SOURCE)

    def _host_terms(self) -> tuple[MemoryTerm, ...]:
        """What the process takes besides the model's tensors. Only who leads reads text."""
        own = runtime(self.overhead, leads=self.role.leads)
        return (*tokenizer(self.manifest), own) if self.role.leads else (own,)

    def _working_terms(self, limits: Limits, max_model_len: int, num_kv_pages: int) -> tuple[MemoryTerm, ...]:
        """What depends on the engine. An encoder's batch goes through its stages as a whole."""
        if self.engine == "transformers":
            return generation_terms(self.manifest, limits, max_model_len, num_kv_pages, self.role)
        if self.engine == "vllm":
            return vllm_terms(self.manifest, limits, num_kv_pages, self.role)
        if self.engine == "onnx":
            return session(self.manifest), graph_activations(self.manifest, limits.max_batch_size, max_model_len)
        return (self._batch(limits.max_batch_size, max_model_len),)

    def _batch(self, batch_size: int, num_tokens: int) -> MemoryTerm:
        alone = batch_activations(self.manifest, batch_size, num_tokens)
        if not self.role.num_messages:
            return alone
        hidden = required_architecture(self.manifest).hidden_size
        message_bytes = self.role.num_messages * batch_size * num_tokens * hidden * item_bytes(self.manifest)
        formula = f"{alone.formula} + {message_bytes:,} B passed on"
        return replace(alone, bytes=alone.bytes + message_bytes, formula=formula)


def whole_process(manifest: Manifest, engine: EngineName, device: Device, overhead: Overhead) -> Process:
    """The only one of its replica."""
    return Process(manifest, weights(manifest, engine, device), ALONE, engine, device, overhead)


def rank_process(
    manifest: Manifest, engine: EngineName, device: Device, overhead: Overhead, shard: Shard
) -> Process:
    """One rank of a group. ConfigError when nothing is known of the model's layers."""
    narrowed = manifest.model_copy(update={"architecture": _narrowed(required_architecture(manifest), shard)})
    return Process(
        narrowed, _shard_weights(manifest, engine, device, shard), role_of(shard), engine, device, overhead
    )


def _narrowed(facts: ArchitectureFacts, shard: Shard) -> ArchitectureFacts:
    """A model with the layers of the shard alone, and of each its share of the heads and of the MLP."""
    tensor = shard.degree.tensor
    own = {
        "num_hidden_layers": shard.num_layers,
        "layer_types": layer_types(facts)[shard.first_layer : shard.stop_layer],
        "num_attention_heads": facts.num_attention_heads // tensor,
        "num_key_value_heads": facts.num_key_value_heads // tensor,
        "intermediate_size": facts.intermediate_size and facts.intermediate_size // tensor,
    }
    return facts.model_copy(update=own)


def _shard_weights(manifest: Manifest, engine: EngineName, device: Device, shard: Shard) -> tuple[MemoryTerm, ...]:
    held = holding(manifest, required_account(manifest), shard)
    formula = f"{shard}, {'as stored' if manifest.weight_account else 'by formula: imported by an older Stowage'}"
    if device.kind != "cpu" or engine == "vllm" or not _is_mapped(manifest):
        return (MemoryTerm("weights", held.total_bytes, formula),)
    return _mapped_weights(held, formula)


def _is_mapped(manifest: Manifest) -> bool:
    """Which tensors have to be copied, a manifest does not say: if any has, all count as copied."""
    return manifest.shared_weight_bytes in (None, manifest.weight_bytes)


def _mapped_weights(held: Holding, formula: str) -> tuple[MemoryTerm, ...]:
    mapped = MemoryTerm("weights", held.mapped_bytes, f"{formula}, mapped", shared=True)
    if not held.copied_bytes:
        return (mapped,)
    return (mapped, MemoryTerm("copied_weights", held.copied_bytes, "columns of matrices, which are not mapped"))
