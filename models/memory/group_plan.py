"""The planned bytes of a group of ranks: of each one, what it holds and how many bytes that takes."""

from __future__ import annotations

from dataclasses import dataclass

from models.memory.terms import MemoryTerm, TermSums
from models.parallel.layout import Degree, GroupLayout, Shard


@dataclass(frozen=True, slots=True)
class RankPlan(TermSums):
    """One rank: ``terms`` lie on its device, ``host_terms`` in its node's memory beside a GPU.

    ``budget_bytes`` is what the rank may take of its device.
    """

    rank: int
    shard: Shard
    terms: tuple[MemoryTerm, ...]
    host_terms: tuple[MemoryTerm, ...]
    budget_bytes: int


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
