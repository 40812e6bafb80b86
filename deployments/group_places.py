"""Which places of a plan the ranks of a group take. Pure, but for the ledger's locks.

A group takes as many consecutive places as it has stages: the first is that of its first ranks, and so on. Ray is
asked alike for all groups of a deployment and may start them crosswise, a stage of one where the plan has that of
another. Places of the same ranks are alike, so each stage takes any that is free on the node where it came to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.args import Place
from deployments.place_ledger import Claim, PlaceLedger
from models.errors import ConfigError
from models.parallel.layout import Degree
from models.types import VersionId


@dataclass(frozen=True, slots=True)
class GroupClaim:
    """``gpus``: the index on the node of the GPU of each rank. To be kept as long as the group lives."""

    gpus: dict[int, int]
    claim: Claim


@dataclass(frozen=True, slots=True)
class GroupPlaces:
    """The places of all groups of a model."""

    model: VersionId
    places: tuple[Place, ...]
    degree: Degree

    def of_rank(self, rank: int) -> tuple[Place, ...]:
        """Those that hold ``rank``, one in each group."""
        return self.places[rank // self.degree.tensor :: self.degree.pipeline]

    def claim(self, ledger: PlaceLedger, rank_nodes: Sequence[str], node: str, wait_s: float) -> GroupClaim:
        """Claim places for all ranks of one group that are on ``node``, which is the ledger's.

        ``rank_nodes``: the name of each rank's node. One process of the group on each node does this, for the
        others there too. ConfigError when the ranks of a stage are on different nodes, and as the ledger has it.
        """
        parts = [part for part in range(self.degree.pipeline) if self._node_of(part, rank_nodes) == node]
        here = [
            (index % self.degree.pipeline, place) for index, place in enumerate(self.places) if place.node == node
        ]
        wanted = [[index for index, (held, _) in enumerate(here) if held == part] for part in parts]
        claim = ledger.claim(self.model, [place for _, place in here], wait_s, wanted)
        gpus = {
            part * self.degree.tensor + index: gpu
            for part, place in zip(parts, claim.places, strict=True)
            for index, gpu in enumerate(place.devices)
        }
        return GroupClaim(gpus, claim)

    def _node_of(self, part: int, rank_nodes: Sequence[str]) -> str:
        first, stop = part * self.degree.tensor, (part + 1) * self.degree.tensor
        nodes = sorted(set(rank_nodes[first:stop]))
        if len(nodes) > 1:
            raise ConfigError(
                f"Ray has divided ranks {first} to {stop - 1} of {self.model}, which are one stage, between the "
                f"nodes {', '.join(nodes)}",
                remedy="let fewer groups share these nodes, or plan again with a smaller tensor degree",
            )
        return nodes[0]
