from __future__ import annotations

from models.placement.exact import search_through
from models.placement.layout import Layout, lay_out
from models.placement.moves import Rules, insert, make_room
from models.placement.repair import empty_devices, part_replicas
from models.placement.room import HOLDS, SAME_NODE, UNPLACED
from models.placement.slots import Slot
from tests.unit.models.clusters import gpu_node, on_gpu


def test_a_device_is_emptied_into_others() -> None:
    asked = [on_gpu("a", 0.6), on_gpu("b", 0.6), on_gpu("c", 0.3), on_gpu("d", 0.3)]
    slots = {("a", 0, 0): (0,), ("b", 0, 0): (1,), ("c", 0, 0): (2,), ("d", 0, 0): (2,)}
    layout = lay_out(asked, [gpu_node("n", 4)], {key: Slot("n", devices) for key, devices in slots.items()})
    empty_devices(layout)
    assert layout.cost[HOLDS] == 2


def test_a_device_is_emptied_although_something_must_give_way() -> None:
    """The .45 fits nowhere before the .2 has left the .55."""
    asked = [on_gpu("a", 0.55), on_gpu("b", 0.2), on_gpu("c", 0.7), on_gpu("d", 0.45)]
    slots = {("a", 0, 0): (0,), ("b", 0, 0): (0,), ("c", 0, 0): (1,), ("d", 0, 0): (2,)}
    layout = lay_out(asked, [gpu_node("n", 4)], {key: Slot("n", devices) for key, devices in slots.items()})
    empty_devices(layout)
    assert layout.cost[HOLDS] == 2


def test_a_device_is_not_emptied_at_the_price_of_replicas_together() -> None:
    asked = [on_gpu("m", 0.3, replica) for replica in range(2)]
    layout = lay_out(asked, [gpu_node("n")], {("m", 0, 0): Slot("n", (0,)), ("m", 1, 0): Slot("n", (1,))})
    empty_devices(layout)
    assert layout.cost[HOLDS] == 2


def test_two_small_ones_give_way_together() -> None:
    asked = [on_gpu("a", 0.3), on_gpu("b", 0.3), on_gpu("c", 0.9), on_gpu("d", 0.6), on_gpu("e", 0.65)]
    slots = {("a", 0, 0): (0,), ("b", 0, 0): (0,), ("d", 0, 0): (1,), ("e", 0, 0): (2,)}
    layout = lay_out(asked, [gpu_node("n", 3)], {key: Slot("n", at) for key, at in slots.items()})
    assert not insert(layout, asked[2], Rules())
    assert make_room(layout, asked[2], Rules())
    assert len(layout.placed) == 5


def test_what_cannot_be_made_leaves_everything_as_it_was() -> None:
    asked = [on_gpu("a", 0.6), on_gpu("b", 0.6), on_gpu("c", 0.7)]
    slots = {("a", 0, 0): Slot("n", (0,)), ("b", 0, 0): Slot("n", (1,))}
    layout = lay_out(asked, [gpu_node("n")], slots)
    assert not make_room(layout, asked[2], Rules())
    assert layout.slots() == slots


def test_replicas_are_parted_even_if_others_must_make_room() -> None:
    asked = [on_gpu("m", 0.4, 0), on_gpu("m", 0.4, 1), on_gpu("x", 0.35), on_gpu("y", 0.35)]
    slots = {
        ("m", 0, 0): Slot("a", (0,)),
        ("m", 1, 0): Slot("a", (0,)),
        ("x", 0, 0): Slot("b", (0,)),
        ("y", 0, 0): Slot("b", (0,)),
    }
    layout = lay_out(asked, [gpu_node("a", 1), gpu_node("b", 1)], slots)
    part_replicas(layout)
    assert len(layout.placed) == 4
    assert layout.cost[SAME_NODE] == 0


def test_the_search_finds_what_repair_does_not() -> None:
    asked = [on_gpu(f"m{i}", share) for i, share in enumerate((0.42, 0.42, 0.28, 0.28, 0.28, 0.28))]
    there = [gpu_node("n", 2)]
    known = lay_out(asked, there, {asked[0].key: Slot("n", (0,)), asked[1].key: Slot("n", (0,))}, {})
    found = search_through(known, asked, there)
    assert found.cost_of(asked)[UNPLACED] == 0


def test_many_are_not_searched_through() -> None:
    asked = [on_gpu(f"m{i}", 0.01) for i in range(41)]
    there = [gpu_node("n")]
    empty = Layout(there, {})
    assert search_through(empty, asked, there) is empty
    assert len(search_through(empty, asked[:40], there).placed) == 40
