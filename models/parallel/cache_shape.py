"""Whether all ranks of a group have room for the same pages. Imports torch.

The leader alone keeps the books of the pages, and what it says has to hold everywhere. Kinds of attention share
the cache by sectors, whose cut follows from how many layers of each kind a stage has: where the proportions
differ, a page of one kind on the leader lies in a page of another kind elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers.generation.continuous_batching.cache import PagedAttentionCache

from models.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CacheShape:
    """``pages``: for each kind of attention, how many of its pages are in a sector."""

    num_sectors: int
    pages: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        kinds = " or ".join(f"{number} of {kind}" for kind, number in self.pages)
        return f"{self.num_sectors} times {kinds}"


def shape_of(cache: PagedAttentionCache) -> CacheShape:
    """The shape that the pages of ``cache`` follow from."""
    allocators = cache.cache_allocators
    return CacheShape(
        cache.num_sectors, tuple((kind, allocators[kind].blocks_per_sector) for kind in sorted(allocators))
    )


def check_alike(shapes: Sequence[CacheShape]) -> None:
    """ConfigError names the ranks whose pages, in the order of ranks, are not the leader's."""
    others = [f"rank {rank} {shape}" for rank, shape in enumerate(shapes) if shape != shapes[0]]
    if others:
        raise ConfigError(
            f"the KV pages of the group's ranks do not correspond: rank 0 has {shapes[0]}, {', '.join(others)}",
            remedy="divide the layers so that each stage has the same mix of attention, or use tensor alone",
        )
