from __future__ import annotations

import pytest
from hypothesis import given, settings

from models.hardware import Node
from models.placement.layout import Layout
from models.placement.proof import Misfit, prove
from models.placement.remedies import FewerReplicas, MoreNodes, Reduce, Reduction, changed
from models.placement.search import place
from models.placement.shortage import Constraint, find_shortage
from models.placement.slots import Demand
from tests.unit.models.clusters import BIG, GIB, SMALL, cpu_node, demands, gpu_node, group, nodes, on_cpu, on_gpu


def misfits(asked: list[Demand], there: list[Node], **reductions: list[Reduction]) -> tuple[Misfit, ...]:
    return prove(place(asked, there), asked, there, reductions)


def only(asked: list[Demand], there: list[Node], **reductions: list[Reduction]) -> Misfit:
    (misfit,) = misfits(asked, there, **reductions)
    return misfit


def reduction(share: float, label: str = "set limits.max_num_seqs to 4") -> Reduction:
    return Reduction(label, int(share * BIG.usable_bytes))


def test_what_fits_needs_no_proof() -> None:
    assert misfits([on_gpu("m", 0.5)], [gpu_node("a")]) == ()


BOUND = {
    Constraint.NO_DEVICE: ([on_gpu("m", 0.5)], [gpu_node("a", gpu=SMALL)], 1, 0),
    Constraint.DEVICE: ([on_gpu("m", 2)], [gpu_node("a")], 2 * BIG.usable_bytes, BIG.usable_bytes),
    Constraint.RANKS: ([on_gpu("m", 0.1, num_ranks=4)], [gpu_node("a"), gpu_node("b", 3)], 4, 3),
    Constraint.GROUP: ([*group(on_gpu("m", 0), 1, 1, 1)], [gpu_node("a", 1), gpu_node("b", 1)], 3, 2),
    Constraint.NODE_MEMORY: ([on_cpu("m", 60, 5)], [cpu_node("a", 64)], 65 * GIB, 64 * GIB),
    Constraint.NODE_CPUS: ([on_cpu("m", 1, num_cpus=17)], [cpu_node("a")], 17, 16),
    Constraint.ALL_DEVICES: (
        [on_gpu("k", 1), on_gpu("m", 1)],
        [gpu_node("a", 1)],
        2 * BIG.usable_bytes,
        BIG.usable_bytes,
    ),
    Constraint.ALL_MEMORY: ([on_cpu("k", 40), on_cpu("m", 30)], [cpu_node("a")], 70 * GIB, 64 * GIB),
    Constraint.ALL_CPUS: ([on_cpu("k", 1, num_cpus=10), on_cpu("m", 1, num_cpus=7)], [cpu_node("a")], 17, 16),
    Constraint.FREE_DEVICE: (
        [on_gpu("k", 0.6), on_gpu("l", 0.6), on_gpu("m", 0.55)],
        [gpu_node("a")],
        int(0.55 * BIG.usable_bytes),
        BIG.usable_bytes * 4000 // 10_000,
    ),
    Constraint.FREE_MEMORY: (
        [on_cpu("k", 40), on_cpu("l", 40), on_cpu("m", 30)],
        [cpu_node("a"), cpu_node("b")],
        30 * GIB,
        24 * GIB,
    ),
    Constraint.FREE_CPUS: (
        [on_cpu("k", 1, num_cpus=10), on_cpu("l", 1, num_cpus=10), on_cpu("m", 1, num_cpus=7)],
        [cpu_node("a"), cpu_node("b")],
        7,
        6,
    ),
}


@pytest.mark.parametrize("constraint", Constraint)
def test_the_constraint_that_binds_is_named_in_numbers(constraint: Constraint) -> None:
    asked, there, needed, available = BOUND[constraint]
    misfit = only(asked, there)
    assert misfit.model == "m"
    assert misfit.shortage.constraint == constraint
    assert (misfit.shortage.needed, misfit.shortage.available) == (needed, available)


def test_of_a_group_the_rank_is_named_that_finds_no_place_beside_the_others() -> None:
    asked = [on_gpu("k", 0.5), *group(on_gpu("m", 0, num_ranks=2), 10 * GIB, 20 * GIB), on_gpu("z", 0.9)]
    there = [gpu_node("a", 3), gpu_node("b", 1)]
    (misfit,) = (each for each in misfits(asked, there) if each.model == "m")
    assert misfit.replicas == (0,)
    assert misfit.shortage.constraint == Constraint.FREE_DEVICE
    assert misfit.shortage.text == (
        "its ranks 0 to 1 need 10.0 GiB of a big, and at most 0 B are free on each of 2 on one node without its "
        "other ranks, 165.4 GiB on all"
    )


def test_fewer_groups_and_more_nodes_are_remedies() -> None:
    asked = [part for replica in range(2) for part in group(on_gpu("m", 0, replica), 60 * GIB, 70 * GIB)]
    misfit = only(asked, [gpu_node("a1", 2, group="a")])
    assert misfit.replicas == (1,)
    assert misfit.shortage.text.startswith("all replicas together need 260.0 GiB of big")
    assert misfit.remedies == (FewerReplicas("m", 1), MoreNodes("a", 1, None))


def test_a_group_on_cpu_nodes_names_the_rank_too() -> None:
    asked = [on_cpu("k", 10), *group(on_cpu("m", 0), 30 * GIB, 40 * GIB)]
    misfit = only(asked, [cpu_node("a", 45), cpu_node("b", 36)])
    assert misfit.model == "m"
    assert misfit.shortage.text == "its rank 0 needs 30.0 GiB of a node's memory; at most 26.0 GiB are free on one"


def test_what_can_never_fit_does_not_count_for_the_others() -> None:
    """Without the giant, all of it would be less than all devices have."""
    asked = [on_gpu("giant", 2), on_gpu("k", 0.6), on_gpu("l", 0.6), on_gpu("m", 0.55)]
    found = {misfit.model: misfit.shortage.constraint for misfit in misfits(asked, [gpu_node("a")])}
    assert found == {"giant": Constraint.DEVICE, "m": Constraint.FREE_DEVICE}


def test_the_message_has_the_numbers_and_the_remedies() -> None:
    asked = [on_gpu("m", 0.6, replica) for replica in range(3)]
    there = [gpu_node("gpu-1", group="gpu", price_per_hour=2.5)]
    assert str(only(asked, there, m=[reduction(0.5)])) == (
        "m: no place for replica 2: it needs 47.4 GiB of a big, and at most 31.6 GiB are free on one, "
        "63.2 GiB on all (set limits.max_num_seqs to 4 (39.5 GiB for m); or run 2 replicas of m; "
        "or add 1 node like gpu, 2.50 an hour)"
    )


def test_the_first_reduction_that_helps_is_named() -> None:
    asked = [on_gpu("k", 0.6), on_gpu("l", 0.6), on_gpu("m", 0.55)]
    offered = [reduction(0.45, "too little"), reduction(0.4, "enough"), reduction(0.3, "too much")]
    assert only(asked, [gpu_node("a")], m=offered).remedies[0] == Reduce("m", offered[1])


def test_a_reduction_that_does_not_help_is_not_named() -> None:
    misfit = only([on_gpu("m", 2)], [gpu_node("a")], m=[reduction(1.5)])
    assert misfit.remedies == ()


def test_no_replicas_at_all_is_no_remedy() -> None:
    asked = [on_gpu("k", 1), on_gpu("l", 1), on_gpu("m", 0.5)]
    assert not any(isinstance(remedy, FewerReplicas) for remedy in only(asked, [gpu_node("a")]).remedies)


def test_as_many_nodes_as_needed_are_named_the_cheapest_group_first() -> None:
    asked = [on_gpu(f"m{i}", 0.9) for i in range(7)]
    there = [
        gpu_node("a1", 2, group="a", price_per_hour=10.0),
        gpu_node("b1", 1, group="b", price_per_hour=3.0),
        cpu_node("c"),
    ]
    found = {misfit.remedies for misfit in misfits(asked, there)}
    assert found == {(MoreNodes("b", 4, 12.0), MoreNodes("a", 2, 20.0))}


def test_how_much_room_there_is_is_said_for_the_planner() -> None:
    asked = [on_gpu("k", 0.6), on_gpu("l", 0.7), on_gpu("m", 0.55)]
    misfit = only(asked, [gpu_node("a")])
    assert misfit.room_bytes == BIG.usable_bytes * 4000 // 10_000
    smaller = Reduction("", misfit.room_bytes)
    assert only(asked, [gpu_node("a")], m=[smaller]).remedies[0] == Reduce("m", smaller)


def test_there_is_no_proof_for_what_has_room() -> None:
    asked = on_gpu("m", 0.5)
    with pytest.raises(ValueError, match="has room"):
        find_shortage(asked, [asked], Layout([gpu_node("a")], {}))


@settings(max_examples=40, deadline=None)
@given(demands(), nodes())
def test_every_remedy_makes_it_fit(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    placement = place(asked, there)
    halves = {demand.model: [Reduction("halve", demand.device_bytes // 2)] for demand in asked}
    proof = prove(placement, asked, there, halves)
    left_over = {demand.group for demand in placement.unplaced}
    assert {(misfit.model, replica) for misfit in proof for replica in misfit.replicas} == left_over
    for misfit in proof:
        assert misfit.shortage.needed > misfit.shortage.available
        own = {(misfit.model, replica) for replica in misfit.replicas}
        for remedy in misfit.remedies:
            after = place(*changed(remedy, asked, there))
            assert {demand.group for demand in after.unplaced} <= left_over - own
