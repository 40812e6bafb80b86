"""The planned bytes of a group of ranks: of each one, what it holds and how many bytes that takes."""

from __future__ import annotations

from dataclasses import dataclass

from models.memory.terms import MemoryTerm
from models.parallel.layout import Degree, GroupLayout, Shard


@dataclass(frozen=True, slots=True)
class RankPlan:
    """One rank: ``terms`` lie on its device, ``host_terms`` in its node's memory beside a GPU.

    ``budget_bytes`` is what the rank may take of its device.
    """

    rank: int
    shard: Shard
    terms: tuple[MemoryTerm, ...]
    host_terms: tuple[MemoryTerm, ...]
    budget_bytes: int

    @property
    def total_bytes(self) -> int:
        """On the device."""
        return sum(term.bytes for term in self.terms)

    @property
    def shared_bytes(self) -> int:
        """The part that ranks with the same shard on one node hold once between them."""
        return sum(term.bytes for term in self.terms if term.shared)

    @property
    def host_bytes(self) -> int:
        """In the node's memory, beside a GPU."""
        return sum(term.bytes for term in self.host_terms)

    @property
    def kv_cache_bytes(self) -> int:
        """Of the rank's part of the KV cache; 0 for an engine without one."""
        return sum(term.bytes for term in self.terms if term.name == "kv_cache")


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """How a replica's model is divided, and what each of its ranks needs: ``ranks[r]`` is rank r."""

    layout: GroupLayout
    ranks: tuple[RankPlan, ...]

    @property
    def degree(self) -> Degree:
        return self.layout.degree

    @property
    def num_ranks(self) -> int:
        return self.layout.num_ranks
