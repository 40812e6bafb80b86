"""Why replicas found no place: the constraint that binds, in numbers, and the cheapest ways out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType

from models.hardware import Node
from models.placement.groups import Parts, by_group, insert_some, remove_group
from models.placement.layout import Layout, lay_out
from models.placement.moves import Rules
from models.placement.remedies import Attempt, MoreNodes, Reduction, Remedy, groups_of
from models.placement.shortage import Shortage, find_shortage, room_bytes
from models.placement.slots import Demand, Placement

NO_REDUCTIONS: Mapping[str, Sequence[Reduction]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Misfit:
    """The replicas of a model that found no place. ``remedies``: the cheapest first, each tried by placing again.

    ``room_bytes``: the most that a rank of such a replica could take of its device, beside what is placed. Of a
    group both are those of a part that finds no place beside the others.
    """

    model: str
    replicas: tuple[int, ...]
    shortage: Shortage
    room_bytes: int
    remedies: tuple[Remedy, ...]

    def __str__(self) -> str:
        plural = "s" if len(self.replicas) > 1 else ""
        which = ", ".join(map(str, self.replicas))
        remedies = f" ({'; or '.join(map(str, self.remedies))})" if self.remedies else ""
        return f"{self.model}: no place for replica{plural} {which}: {self.shortage.text}{remedies}"


def prove(
    placement: Placement,
    demands: Sequence[Demand],
    nodes: Sequence[Node],
    reductions: Mapping[str, Sequence[Reduction]] = NO_REDUCTIONS,
) -> tuple[Misfit, ...]:
    """One misfit for each model of which ``place`` left replicas over; ``demands`` and ``nodes`` as given to it.

    ``reductions``: what the planner offers for a model, the smallest sacrifice first. What costs nothing is named
    before what costs nodes.
    """
    if not placement.unplaced:
        return ()
    attempt = Attempt(placement, demands, nodes)
    layout = lay_out(demands, nodes, placement.slots)
    more_nodes = {group: attempt.more_nodes(group) for group in groups_of(nodes)}

    def prove_model(model: str, unplaced: Sequence[Demand]) -> Misfit:
        holding = [
            remedy
            for group, remedy in more_nodes.items()
            if remedy and all(attempt.is_held(demand, group) for demand in unplaced)
        ]
        return Misfit(
            model,
            tuple(dict.fromkeys(demand.replica for demand in unplaced)),
            *_shortage(by_group(unplaced)[0], demands, layout),
            (*_free_of_charge(attempt, model, reductions), *sorted(holding, key=_price)),
        )

    by_model = groupby(placement.unplaced, key=lambda demand: demand.model)
    return tuple(prove_model(model, tuple(unplaced)) for model, unplaced in by_model)


def _shortage(parts: Parts, demands: Sequence[Demand], layout: Layout) -> tuple[Shortage, int]:
    """What keeps the largest part from a place that finds none beside those of its group that do; its room."""
    left_over = insert_some(layout, parts, Rules())
    if not left_over:
        remove_group(layout, parts)
    blocked = max(left_over or parts, key=lambda part: (part.device_bytes, part.host_bytes, part.num_cpus))
    found = find_shortage(blocked, demands, layout), room_bytes(blocked, layout)
    remove_group(layout, parts)
    return found


def _free_of_charge(
    attempt: Attempt, model: str, reductions: Mapping[str, Sequence[Reduction]]
) -> Iterator[Remedy]:
    if reduction := attempt.reduction(model, reductions.get(model, ())):
        yield reduction
    if fewer := attempt.fewer_replicas(model):
        yield fewer


def _price(remedy: MoreNodes) -> tuple[bool, float, int]:
    """Known prices first."""
    return remedy.price_per_hour is None, remedy.price_per_hour or 0, remedy.num_nodes
