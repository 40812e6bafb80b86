from __future__ import annotations

import pytest

from models.placement.groups import by_group, find_group, insert_group, insert_some
from models.placement.layout import Layout, lay_out
from models.placement.moves import Rules
from models.placement.room import HOLDS, SAME_NODE, SPANS, UNPLACED
from models.placement.search import place
from models.placement.slots import Demand, Placement, Slot
from tests.unit.models.clusters import BIG, GIB, check, cpu_node, gpu_node, group, on_cpu, on_gpu


def on_gpus(model: str, *shares: float, replica: int = 0, num_ranks: int = 1) -> tuple[Demand, ...]:
    sizes = (int(share * BIG.usable_bytes) for share in shares)
    return group(on_gpu(model, 0, replica, num_ranks), *sizes)


def nodes_of(placement: Placement, model: str, replica: int = 0) -> set[str]:
    return {slot.node for key, slot in placement.slots.items() if key[:2] == (model, replica)}


def test_all_stages_lie_on_one_node_where_they_fit() -> None:
    placement = place(on_gpus("m", 0.4, 0.4, 0.4), [gpu_node("a", 2), gpu_node("b", 4), gpu_node("c", 2)])
    assert nodes_of(placement, "m") == {"b"}


def test_no_two_ranks_of_a_group_share_a_gpu() -> None:
    placement = place(on_gpus("m", 0.1, 0.2, 0.3, num_ranks=2), [gpu_node("a", 6)])
    assert sorted(index for slot in placement.slots.values() for index in slot.devices) == list(range(6))


def test_stages_are_divided_between_as_few_nodes_as_can_be() -> None:
    nodes = [gpu_node("a", 1), gpu_node("b", 2), gpu_node("c", 1), gpu_node("d", 2)]
    placement = place(on_gpus("m", 0.9, 0.9, 0.9, 0.9), nodes)
    assert nodes_of(placement, "m") == {"b", "d"}


def test_a_stage_is_never_divided() -> None:
    nodes = [gpu_node("a", 3), gpu_node("b", 3)]
    placement = place(on_gpus("m", 0.9, 0.9, num_ranks=2), nodes)
    assert sorted(len(slot.devices) for slot in placement.slots.values()) == [2, 2]
    assert nodes_of(placement, "m") == {"a", "b"}


def test_a_group_has_all_its_places_or_none() -> None:
    parts = on_gpus("m", 0.5, 0.5, 0.5)
    assert place(parts, [gpu_node("a", 2)]) == Placement({}, parts)


def test_a_group_gives_its_room_to_others_when_it_has_none_itself() -> None:
    asked = [*on_gpus("large", 0.9, 0.9, 0.9), on_gpu("k", 0.9), on_gpu("l", 0.9)]
    placement = place(asked, [gpu_node("a", 2)])
    assert placement.slots.keys() == {("k", 0, 0), ("l", 0, 0)}


def test_one_group_counts_as_one_replica() -> None:
    """Two of one rank go before one of two."""
    asked = [*on_gpus("pair", 0.9, 0.9), on_gpu("k", 0.9), on_gpu("l", 0.9)]
    assert {key[0] for key in place(asked, [gpu_node("a", 2)]).slots} == {"k", "l"}


def test_groups_of_one_model_lie_on_different_nodes() -> None:
    asked = [part for replica in range(2) for part in on_gpus("m", 0.3, 0.3, replica=replica)]
    placement = place(asked, [gpu_node("a", 4), gpu_node("b", 4)])
    assert [nodes_of(placement, "m", replica) for replica in range(2)] in ([{"a"}, {"b"}], [{"b"}, {"a"}])


def test_parting_groups_never_divides_them() -> None:
    asked = [part for replica in range(2) for part in on_gpus("m", 0.9, 0.9, replica=replica)]
    placement = place(asked, [gpu_node("a", 4), gpu_node("b", 1)])
    assert nodes_of(placement, "m", 0) == nodes_of(placement, "m", 1) == {"a"}


def test_ranks_of_different_groups_share_a_gpu() -> None:
    asked = [part for replica in range(2) for part in on_gpus("m", 0.5, 0.5, replica=replica)]
    placement = place(asked, [gpu_node("a", 2)])
    check(placement, asked, [gpu_node("a", 2)])
    assert placement.unplaced == ()


def test_on_a_cpu_node_stages_share_the_memory_and_each_its_weights_with_its_own_kind() -> None:
    asked = [
        part for replica in range(2) for part in group(on_cpu("m", 0, 10, replica), 1 * GIB, 2 * GIB)
    ]  # 10 GiB of each of two stages once, and 3 GiB of each group
    assert place(asked, [cpu_node("a", 26)]).unplaced == ()
    assert {key[:2] for key in place(asked, [cpu_node("a", 25)]).slots} == {("m", 0)}


def test_stages_need_not_be_alike() -> None:
    parts = group(on_cpu("m", 0), 30 * GIB, 10 * GIB)
    placement = place(parts, [cpu_node("a", 12), cpu_node("b", 32)])
    assert placement.slots == {("m", 0, 0): Slot("b"), ("m", 0, 1): Slot("a")}


def test_what_a_group_keeps_stays_when_one_of_its_places_is_gone() -> None:
    keep = {("m", 0, 0): Slot("a", (1,)), ("m", 0, 1): Slot("gone", (0,))}
    placement = place(on_gpus("m", 0.5, 0.5), [gpu_node("a"), gpu_node("b")], keep)
    assert placement.slots == {("m", 0, 0): Slot("a", (1,)), ("m", 0, 1): Slot("a", (0,))}


def test_what_a_group_keeps_is_given_up_where_the_rest_of_it_finds_no_place() -> None:
    keep = {("m", 0, 0): Slot("a", (0,))}
    parts = on_gpus("m", 0.5, 0.5)
    assert place(parts, [gpu_node("a", 1)], keep) == Placement({}, parts)


def test_others_give_way_to_a_group() -> None:
    parts = on_gpus("m", 0.9, 0.9)
    small = [on_gpu(f"s{i}", 0.4) for i in range(2)]
    layout = lay_out(small, [gpu_node("n", 3)], {("s0", 0, 0): Slot("n", (0,)), ("s1", 0, 0): Slot("n", (1,))})
    assert not insert_group(layout, parts, Rules())
    assert find_group(layout, parts, Rules())
    assert len(layout.placed) == 4


def test_a_group_that_finds_no_room_leaves_everything_as_it_was() -> None:
    parts = on_gpus("m", 0.9, 0.9)
    slots = {("s", 0, 0): Slot("n", (0,))}
    layout = lay_out([on_gpu("s", 0.4)], [gpu_node("n", 2)], slots)
    assert not find_group(layout, parts, Rules())
    assert layout.slots() == slots


def test_the_parts_that_are_left_over_are_told() -> None:
    parts = on_gpus("m", 0.2, 0.9, 0.5)
    layout = Layout([gpu_node("a", 2)], {})
    assert insert_some(layout, parts, Rules()) == (parts[0],)


def test_the_cost_counts_nodes_beyond_one_and_a_group_once() -> None:
    parts = on_gpus("m", 0.5, 0.5, 0.5)
    slots = {part.key: Slot(node, (0,)) for part, node in zip(parts, ("a", "b", "c"), strict=True)}
    layout = lay_out(parts, [gpu_node(name) for name in "abc"], slots)
    assert [layout.cost[entry] for entry in (SPANS, SAME_NODE, HOLDS)] == [2, 0, 3]
    assert Layout([], {}).cost_of(parts)[UNPLACED] == 1


def test_parts_are_found_together() -> None:
    first, second = on_gpus("m", 0.1, 0.1), on_gpus("m", 0.1, 0.1, replica=1)
    assert by_group([first[0], second[0], first[1], second[1]]) == [first, second]


@pytest.mark.parametrize(("part", "ranks"), [(0, [0, 1]), (2, [4, 5])])
def test_a_part_has_consecutive_ranks(part: int, ranks: list[int]) -> None:
    assert list(on_gpus("m", 0.1, 0.1, 0.1, num_ranks=2)[part].ranks) == ranks
