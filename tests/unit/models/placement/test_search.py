from __future__ import annotations

import pytest

from models.errors import ConfigError
from models.placement.search import place
from models.placement.slots import Demand, Placement, Slot
from tests.unit.models.clusters import BIG, GIB, SMALL, check, cpu_node, gpu_node, on_cpu, on_gpu


def devices(placement: Placement) -> set[tuple[str, int]]:
    return {(slot.node, index) for slot in placement.slots.values() for index in slot.devices}


def test_no_models_need_no_nodes() -> None:
    assert place([], []) == Placement({})


def test_what_ray_would_refuse_in_this_order_fits_in_another() -> None:
    """On one node with two GPUs, Ray books .5 and .4 on the first and .5 on the second, and .6 nowhere."""
    shares = {"a": 0.5, "b": 0.4, "c": 0.5, "d": 0.6}
    placement = place([on_gpu(model, share) for model, share in shares.items()], [gpu_node("n")])
    assert placement.slots["a", 0, 0] == placement.slots["c", 0, 0]
    assert placement.slots["b", 0, 0] == placement.slots["d", 0, 0] != placement.slots["a", 0, 0]


def test_the_fewest_devices_are_used() -> None:
    shares = [0.7, 0.6, 0.5, 0.3, 0.4, 0.5]
    placement = place([on_gpu(f"m{i}", share) for i, share in enumerate(shares)], [gpu_node("n", 8)])
    assert len(devices(placement)) == 3


def test_a_few_models_take_the_fewest_devices_there_can_be() -> None:
    """Best-fit decreasing puts the two large ones together, three small ones on the next, and one on a third."""
    shares = [0.42, 0.42, 0.28, 0.28, 0.28, 0.28]
    placement = place([on_gpu(f"m{i}", share) for i, share in enumerate(shares)], [gpu_node("n", 4)])
    assert len(devices(placement)) == 2


def test_a_smaller_one_gives_way() -> None:
    """More demands than are searched through: only an exchange finds room for the last one."""
    full = [on_gpu(f"full-{i}", 1) for i in range(50)]
    pairs = [on_gpu("a", 0.4), on_gpu("b", 0.4), on_gpu("c", 0.9)]
    nodes = [gpu_node("n", 52)]
    keep = {("a", 0, 0): Slot("n", (0,)), ("b", 0, 0): Slot("n", (1,))}
    placement = place([*full, *pairs], nodes, keep)
    assert placement.unplaced == ()
    assert sum(placement.slots[key] == slot for key, slot in keep.items()) == 1


def test_replicas_lie_on_different_nodes_even_if_that_takes_more_devices() -> None:
    placement = place([on_gpu("m", 0.2, replica) for replica in range(2)], [gpu_node("a"), gpu_node("b")])
    assert {slot.node for slot in placement.slots.values()} == {"a", "b"}


def test_replicas_on_one_node_lie_on_different_devices() -> None:
    placement = place([on_gpu("m", 0.2, replica) for replica in range(2)], [gpu_node("a")])
    assert devices(placement) == {("a", 0), ("a", 1)}


def test_replicas_lie_together_rather_than_nowhere() -> None:
    placement = place([on_gpu("m", 0.2, replica) for replica in range(3)], [gpu_node("a", 1)])
    assert placement.unplaced == ()


def test_replicas_are_spread_evenly() -> None:
    placement = place([on_gpu("m", 0.1, replica) for replica in range(4)], [gpu_node("a", 4), gpu_node("b", 4)])
    assert sorted(slot.node for slot in placement.slots.values()) == ["a", "a", "b", "b"]


def test_ranks_lie_on_different_gpus_of_one_node() -> None:
    nodes = [gpu_node("a", 1), gpu_node("b", 2), gpu_node("c", 1)]
    assert place([on_gpu("m", 0.9, num_ranks=2)], nodes).slots == {("m", 0, 0): Slot("b", (0, 1))}


def test_ranks_are_never_divided_between_nodes() -> None:
    asked = [on_gpu("m", 0.1, num_ranks=2)]
    assert place(asked, [gpu_node("a", 1), gpu_node("b", 1)]) == Placement({}, tuple(asked))


def test_each_kind_of_gpu_takes_its_own() -> None:
    nodes = [gpu_node("a", gpu=SMALL), gpu_node("b", gpu=BIG)]
    placement = place([on_gpu("m", 0.5, gpu=BIG), on_gpu("n", 0.5, gpu=SMALL)], nodes)
    assert (placement.slots["m", 0, 0].node, placement.slots["n", 0, 0].node) == ("b", "a")


def test_more_than_one_device_has_never_fits() -> None:
    too_large = on_gpu("m", 1.01)
    assert place([too_large], [gpu_node("a", 8)]).unplaced == (too_large,)


def test_memory_beside_the_gpu_is_counted() -> None:
    asked = [Demand(f"m{i}", 0, "big", GIB, host_bytes=150 * GIB) for i in range(2)]
    assert len(place(asked, [gpu_node("a")]).slots) == 1
    assert len(place(asked, [gpu_node("a"), gpu_node("b")]).slots) == 2


def test_cpus_are_counted() -> None:
    asked = [on_cpu(f"m{i}", 1, num_cpus=0.1) for i in range(11)]
    placement = place(asked, [cpu_node("a", num_cpus=1)])
    assert len(placement.slots) == 10


def test_shared_weights_are_counted_once_on_a_node() -> None:
    asked = [on_cpu("m", 1, shared_gib=10, replica=replica) for replica in range(4)]
    assert len(place(asked, [cpu_node("a", 14)]).slots) == 4
    assert len(place(asked, [cpu_node("a", 13)]).slots) == 3


def test_a_second_node_goes_before_sharing_weights() -> None:
    asked = [on_cpu("m", 1, shared_gib=10, replica=replica) for replica in range(2)]
    placement = place(asked, [cpu_node("a"), cpu_node("b")])
    assert {slot.node for slot in placement.slots.values()} == {"a", "b"}


def test_weights_are_shared_where_another_copy_would_leave_no_room() -> None:
    asked = [*(on_cpu("m", 1, shared_gib=10, replica=replica) for replica in range(2)), on_cpu("n", 12)]
    placement = place(asked, [cpu_node("a", 13), cpu_node("b", 13)])
    assert placement.unplaced == ()
    assert placement.slots["m", 0, 0] == placement.slots["m", 1, 0]


def test_cpu_models_stay_off_nodes_with_gpus() -> None:
    assert place([on_cpu("m", 1)], [gpu_node("a"), cpu_node("b")]).slots["m", 0, 0].node == "b"


def test_the_cheaper_node_is_filled() -> None:
    nodes = [gpu_node("a", price_per_hour=9.0), gpu_node("b", price_per_hour=4.0)]
    assert place([on_gpu("m", 0.5)], nodes).slots["m", 0, 0].node == "b"


def test_among_equals_the_node_with_the_weights_is_taken() -> None:
    nodes = [gpu_node("a"), gpu_node("b"), gpu_node("c", stored=frozenset({"m"}))]
    assert place([on_gpu("m", 0.5)], nodes).slots["m", 0, 0].node == "c"


def test_stored_weights_are_not_worth_a_device() -> None:
    nodes = [gpu_node("a"), gpu_node("b", stored=frozenset({"n"}))]
    keep = {("m", 0, 0): Slot("a", (0,))}
    placement = place([on_gpu("m", 0.5), on_gpu("n", 0.5)], nodes, keep)
    assert devices(placement) == {("a", 0)}


def test_names_are_counted_as_people_do() -> None:
    nodes = [gpu_node("gpu-10"), gpu_node("gpu-9")]
    assert place([on_gpu("m", 0.5)], nodes).slots["m", 0, 0].node == "gpu-9"


def test_what_is_kept_stays_even_if_another_place_were_better() -> None:
    asked = [on_gpu("m", 0.3), on_gpu("n", 0.3), on_gpu("new", 0.3)]
    keep = {("m", 0, 0): Slot("b", (1,)), ("n", 0, 0): Slot("a", (1,))}
    placement = place(asked, [gpu_node("a"), gpu_node("b")], keep)
    assert {key: placement.slots[key] for key in keep} == keep
    assert len(devices(placement)) == 2


def test_ranks_that_are_kept_keep_their_order() -> None:
    keep = {("m", 0, 0): Slot("a", (2, 0))}
    assert place([on_gpu("m", 0.5, num_ranks=2)], [gpu_node("a", 4)], keep).slots == keep


@pytest.mark.parametrize("gone", [Slot("gone", (0,)), Slot("a", (7,)), Slot("a", (0, 1)), Slot("a")])
def test_a_place_that_is_gone_is_not_kept(gone: Slot) -> None:
    assert place([on_gpu("m", 0.5)], [gpu_node("a")], {("m", 0, 0): gone}).slots == {("m", 0, 0): Slot("a", (0,))}


def test_what_is_kept_gives_way_when_not_all_fits_otherwise() -> None:
    asked = [on_gpu("m", 0.5), on_gpu("n", 0.5), on_gpu("new", 1)]
    keep = {("m", 0, 0): Slot("a", (0,)), ("n", 0, 0): Slot("a", (1,))}
    placement = place(asked, [gpu_node("a")], keep)
    assert placement.unplaced == ()
    assert sum(placement.slots[key] == slot for key, slot in keep.items()) == 1


def test_many_models_on_many_devices() -> None:
    asked = [on_gpu(f"m{i}", 0.05 + i % 7 * 0.04, replica) for i in range(200) for replica in range(1 + i % 2)]
    nodes = [gpu_node(f"n{i}", 8) for i in range(8)]
    placement = place(asked, nodes)
    check(placement, asked, nodes)
    volume = sum(demand.device_bytes for demand in asked) / BIG.usable_bytes
    assert placement.unplaced == ()
    assert len(devices(placement)) <= volume * 1.05 + 1


def test_a_node_or_replica_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="node a is there twice"):
        place([], [gpu_node("a"), gpu_node("a")])
    with pytest.raises(ConfigError, match="replica m#0 is there twice"):
        place([on_gpu("m", 0.1), on_gpu("m", 0.2)], [])


def test_replicas_that_disagree_about_what_they_share_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"{GIB} and {2 * GIB}"):
        place([on_cpu("m", 1, 1), on_cpu("m", 1, 2, replica=1)], [])
