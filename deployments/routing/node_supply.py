"""What Ray seeks nodes for, and what its autoscaler does about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose

Bundle = Mapping[str, float]
Demand = tuple[Bundle, ...]
"""The bundles of one replica, in any order."""

# Of a demand that the autoscaler has neither refused nor begun to meet: three of its turns, of 5 s by default.
DECISION_S = 15.0

# Ray rounds what it is asked for.
_TOLERANCE = 1e-3
# Serve asks for more of its own: a resource that it makes up where the replicas on one node are limited.
_COMPARED = ("CPU", "GPU", "memory")


@dataclass(frozen=True, slots=True)
class NodeAutoscaler:
    """Its last word. ``coming``: nodes that it has asked for and that are not there yet, by type.

    ``refused``: demands that no node which it may add would meet. ``failures``: why nodes did not come.
    """

    coming: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[Demand, ...] = ()
    failures: tuple[str, ...] = ()

    def refuses(self, demand: Demand) -> bool:
        return any(_are_same(demand, refused) for refused in self.refused)

    def __str__(self) -> str:
        """``Ray's autoscaler adds 2 nodes (gpu, cpu)``."""
        number = sum(self.coming.values())
        nodes = f"{number} node{'' if number == 1 else 's'}" if number else "no node"
        types = f" ({', '.join(sorted(self.coming))})" if number else ""
        failed = f"; before, it failed to: {self.failures[-1]}" if self.failures else ""
        return f"Ray's autoscaler adds {nodes}{types}{failed}"


@dataclass(frozen=True, slots=True)
class NodeSupply:
    """``sought``: the demands for which Ray has no node yet. One that it has a node for is no more among them, and
    its resources are taken, before its process starts. ``autoscaler``: None where there is none."""

    sought: tuple[Demand, ...] = ()
    autoscaler: NodeAutoscaler | None = None

    def seeks(self, demand: Demand) -> bool:
        return any(_are_same(demand, sought) for sought in self.sought)


def _are_same(demand: Sequence[Bundle], other: Sequence[Bundle]) -> bool:
    left = list(other)
    for bundle in demand:
        same = next((each for each in left if _is_same(bundle, each)), None)
        if same is None:
            return False
        left.remove(same)
    return not left


def _is_same(bundle: Bundle, other: Bundle) -> bool:
    names = {*_COMPARED, *(name for name, amount in bundle.items() if amount)}
    return all(isclose(bundle.get(name, 0.0), other.get(name, 0.0), rel_tol=_TOLERANCE) for name in names)
