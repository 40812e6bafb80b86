"""What the leader tells the other ranks of a generation step: tokens, positions, and places in the paged cache.

A kind of attention counts places by the layers that it has in a stage, so that the stages of one model number the
same place differently. In a message they are numbered as if there was one layer of each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.cache_allocators.cache_allocator import CacheAllocator
from transformers.generation.continuous_batching.input_outputs import PagedAttentionArgs
from transformers.generation.continuous_batching.utils import attn_mask_is_needed, build_attention_mask

from models.parallel.runner import StageInput

_SLIDING = "sliding_attention"


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass over ``T`` tokens of ``n`` sequences, all int32 on the CPU.

    ``ids`` and ``positions`` [T]; ``rows`` [n] are the tokens whose scores are wanted; ``lengths_q`` [n + 1]
    counts tokens up to each sequence, ``lengths_k`` the same of keys for each kind of attention; ``writes`` and
    ``reads``, for each kind, are places in the paged cache. Kinds are in the order of their names.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    rows: torch.Tensor
    lengths_q: torch.Tensor
    lengths_k: tuple[torch.Tensor, ...]
    writes: tuple[torch.Tensor, ...]
    reads: tuple[torch.Tensor, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    def encode(self) -> torch.Tensor:
        """One int32 tensor: the number of parts, the length of each, the parts."""
        parts = (self.ids, self.positions, self.rows, self.lengths_q, *self.lengths_k, *self.writes, *self.reads)
        head = torch.tensor([len(parts), *map(len, parts)], dtype=torch.int32)
        return torch.cat((head, *parts))


def decode_step(message: torch.Tensor) -> Step:
    """The step that ``encode`` gave; its tensors are views of ``message``."""
    num_parts = int(message[0])
    sizes = message[1 : num_parts + 1].tolist()
    ids, positions, rows, lengths_q, *rest = torch.split(message[num_parts + 1 :], sizes)
    kinds = len(rest) // 3
    lengths_k, writes, reads = (tuple(rest[start : start + kinds]) for start in range(0, len(rest), kinds))
    return Step(ids, positions, rows, lengths_q, lengths_k, writes, reads)


def read_step(batch: PagedAttentionArgs) -> Step:
    """The step that the leader's batching has prepared."""
    allocators = batch["cache"].cache_allocators
    return Step(
        ids=_as_int32(batch["input_ids"][0]),
        positions=_as_int32(batch["position_ids"][0]),
        rows=_as_int32(batch["logits_indices"]),
        lengths_q=_as_int32(batch["cu_seq_lens_q"]),
        lengths_k=tuple(_as_int32(batch["cu_seq_lens_k"][kind]) for kind in sorted(allocators)),
        writes=tuple(_sent(batch["write_index"], allocators[kind]) for kind in sorted(allocators)),
        reads=tuple(_sent(batch["read_index"], allocators[kind]) for kind in sorted(allocators)),
    )


class StepReader:
    """What a message means for this rank, with its part of the cache."""

    def __init__(self, cache: PagedAttentionCache, mask_dtype: torch.dtype) -> None:
        self._cache = cache
        self._mask_dtype = mask_dtype

    def __call__(self, message: torch.Tensor) -> StageInput:
        step = decode_step(message)
        device = torch.device(self._cache.device)
        return StageInput(
            ids=step.ids.to(device).unsqueeze(0),
            body=_model_arguments(step, self._cache, self._mask_dtype),
            head={"logits_to_keep": step.rows.to(device)},
        )


def _model_arguments(step: Step, cache: PagedAttentionCache, mask_dtype: torch.dtype) -> dict[str, object]:
    """What a model's forward pass takes beside its input, as transformers' batching gives it on the leader."""
    kinds, allocators = sorted(cache.cache_allocators), cache.cache_allocators.values()
    device = torch.device(cache.device)
    needs_mask = attn_mask_is_needed(cache.config)
    lengths_k = dict(zip(kinds, step.lengths_k, strict=True))
    writes = dict(zip(kinds, step.writes, strict=True))
    reads = dict(zip(kinds, step.reads, strict=True))
    return {
        "position_ids": step.positions.to(device).unsqueeze(0),
        "attention_mask": _masks(step, lengths_k, cache, mask_dtype) if needs_mask else None,
        "cu_seq_lens_q": step.lengths_q.to(device),
        "cu_seq_lens_k": {kind: lengths.to(device) for kind, lengths in lengths_k.items()},
        "max_length_q": _longest(step.lengths_q),
        "max_length_k": {kind: _longest(lengths) for kind, lengths in lengths_k.items()},
        "write_index": [_own_places(writes[each.layer_type], each).to(device) for each in allocators],
        "read_index": [_own_places(reads[each.layer_type], each).to(device) for each in allocators],
        "cache": cache,
        "block_table": None,
        "use_cache": False,
        "is_causal": not needs_mask,
    }


def _sent(places: Sequence[torch.Tensor], allocator: CacheAllocator) -> torch.Tensor:
    stride, of_one_layer = allocator.block_physical_stride, _rows_of_block(allocator)
    own = places[allocator.index]
    return _as_int32(own // stride * of_one_layer + own % stride)


def _own_places(sent: torch.Tensor, allocator: CacheAllocator) -> torch.Tensor:
    stride, of_one_layer = allocator.block_physical_stride, _rows_of_block(allocator)
    places = sent.to(torch.int64)
    return places // of_one_layer * stride + places % of_one_layer


def _rows_of_block(allocator: CacheAllocator) -> int:
    """Rows of the cache that a page has in one layer."""
    return allocator.rows_per_token * allocator.tokens_per_page


def _masks(
    step: Step, lengths_k: Mapping[str, torch.Tensor], cache: PagedAttentionCache, dtype: torch.dtype
) -> torch.Tensor | dict[str, torch.Tensor]:
    """[1, 1, T, keys] for each kind of attention; of a single kind the mask alone."""
    lengths_q = step.lengths_q.tolist()
    masks = {}
    for kind, lengths in lengths_k.items():
        shape = (1, 1, step.num_tokens, int(lengths[-1]))
        masks[kind] = torch.full(shape, torch.finfo(dtype).min, dtype=dtype, device=cache.device)
        window = cache.config.sliding_window if kind == _SLIDING else 1
        build_attention_mask(masks[kind], lengths_q, lengths.tolist(), window)
    return next(iter(masks.values())) if len(masks) == 1 else masks


def _longest(lengths: torch.Tensor) -> int:
    ends: list[int] = lengths.tolist()
    return max(stop - start for start, stop in pairwise(ends))


def _as_int32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("cpu", torch.int32)
