"""What Ray's autoscaler does for replicas that find no node. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose

Bundle = Mapping[str, float]

# Of a demand that it has neither refused nor begun to meet: three of its turns, of 5 s each by default.
DECISION_S = 15.0

# Ray rounds what it is asked for.
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class NodeSupply:
    """The autoscaler's last word. ``coming``: nodes that it has asked for and that are not there yet, by type.

    ``refused``: demands that no node which it may add would meet, each the bundles of one replica. ``failures``:
    why nodes did not come.
    """

    coming: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[tuple[Bundle, ...], ...] = ()
    failures: tuple[str, ...] = ()

    def refuses(self, demand: Sequence[Bundle]) -> bool:
        """``demand``: the bundles of one replica, in any order."""
        return any(_are_same(demand, refused) for refused in self.refused)

    def __str__(self) -> str:
        """``Ray's autoscaler adds 2 nodes (gpu, cpu)``."""
        number = sum(self.coming.values())
        nodes = f"{number} node{'' if number == 1 else 's'}" if number else "no node"
        types = f" ({', '.join(sorted(self.coming))})" if number else ""
        failed = f"; before, it failed to: {self.failures[-1]}" if self.failures else ""
        return f"Ray's autoscaler adds {nodes}{types}{failed}"


def _are_same(demand: Sequence[Bundle], refused: Sequence[Bundle]) -> bool:
    left = list(refused)
    for bundle in demand:
        same = next((each for each in left if _is_same(bundle, each)), None)
        if same is None:
            return False
        left.remove(same)
    return not left


def _is_same(one: Bundle, other: Bundle) -> bool:
    names = {name for bundle in (one, other) for name, amount in bundle.items() if amount}
    return all(isclose(one.get(name, 0.0), other.get(name, 0.0), rel_tol=_TOLERANCE) for name in names)
