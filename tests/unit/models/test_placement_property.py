"""What holds for every cluster and every set of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from models.hardware import Device, Node
from models.placement.layout import Layout
from models.placement.search import place
from models.placement.slots import CPU, Demand, Placement
from tests.unit.models.clusters import GIB, check, demands, nodes

IMPOSSIBLE = -1000
FEW = settings(max_examples=60, deadline=None)


def most_placed(asked: Sequence[Demand], layout: Layout) -> int:
    """The truth for a few replicas, by trying everything: those of which all parts have a place."""
    if not asked:
        return 0
    first, *rest = asked
    best = IMPOSSIBLE
    for room in layout.rooms:
        for devices in every_choice(first, room.node):
            if room.fits(first, devices):
                layout.put(first, layout.spot(first, room, devices))
                best = max(best, (first.part == 0) + most_placed(rest, layout))
                layout.take(first)
    if first.part or best == num_replicas(asked):
        return best
    return max(best, most_placed([each for each in rest if each.group != first.group], layout))


def num_replicas(asked: Sequence[Demand]) -> int:
    return sum(demand.part == 0 for demand in asked)


def num_placed(placement: Placement) -> int:
    return sum(part == 0 for _, _, part in placement.slots)


def every_choice(demand: Demand, node: Node) -> Iterator[tuple[int, ...]]:
    return iter([()]) if demand.device == CPU else combinations(range(node.num_devices), demand.num_ranks)


@FEW
@given(demands(most=12), nodes(most=4, most_devices=4))
def test_nothing_is_exceeded_or_lost(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    check(place(asked, there), asked, there)


@FEW
@given(demands(most=5), nodes(most=3))
def test_as_many_of_a_few_are_placed_as_can_be(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    assert num_placed(place(asked, there)) == most_placed(asked, Layout(there, {}))


@FEW
@given(st.data(), demands(most=10), nodes())
def test_the_order_of_models_and_nodes_does_not_matter(
    data: st.DataObject, asked: tuple[Demand, ...], there: tuple[Node, ...]
) -> None:
    again = place(data.draw(st.permutations(asked)), data.draw(st.permutations(there)))
    assert again == place(asked, there)


@st.composite
def larger(draw: st.DrawFn, there: tuple[Node, ...]) -> tuple[Node, ...]:
    """The cluster with a device, memory of a GPU or of a node, CPUs or a node more."""
    index = draw(st.integers(0, len(there) - 1))
    node = there[index]
    changes = [
        replace(node, memory_bytes=node.memory_bytes + draw(st.integers(1, 20)) * GIB),
        replace(node, num_cpus=node.num_cpus + draw(st.integers(1, 4))),
    ]
    if node.gpu:
        changes.append(replace(node, num_devices=node.num_devices + 1))
        changes.append(replace(node, gpu=wider(node.gpu, draw(st.integers(1, 20)))))
    more = draw(st.sampled_from([*changes, None]))
    if more is None:
        return (*there, replace(node, name="another"))
    return (*there[:index], more, *there[index + 1 :])


def wider(gpu: Device, more_gib: int) -> Device:
    return replace(gpu, usable_bytes=gpu.usable_bytes + more_gib * GIB)


@FEW
@given(st.data(), demands(), nodes())
def test_more_hardware_never_places_fewer(
    data: st.DataObject, asked: tuple[Demand, ...], there: tuple[Node, ...]
) -> None:
    more = data.draw(larger(there))
    assert num_placed(place(asked, more)) >= num_placed(place(asked, there))


@FEW
@given(demands(most=10), nodes())
def test_what_is_placed_stays_when_nothing_changes(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    placement = place(asked, there)
    assert place(asked, there, keep=placement.slots) == placement


@FEW
@given(demands(most=8), nodes())
def test_what_stays_never_costs_a_place(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    first, rest = asked[: len(asked) // 2], asked
    present = place(first, there)
    after = place(rest, there, keep=present.slots)
    check(after, rest, there)
    assert num_placed(after) == num_placed(place(rest, there))


@FEW
@given(demands(most=8), nodes())
def test_nothing_moves_when_a_model_leaves(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    placement = place(asked, there)
    left = [demand for demand in asked if demand.model != "m0"]
    after = place(left, there, keep=placement.slots)
    kept = {key: slot for key, slot in placement.slots.items() if key[0] != "m0"}
    moved = [key for key, slot in kept.items() if after.slots.get(key) != slot]
    assert not moved or num_placed(after) > sum(part == 0 for _, _, part in kept)
