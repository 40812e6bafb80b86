from __future__ import annotations

from hypothesis import given, settings

from models.hardware import Node
from models.placement.layout import Layout, lay_out, natural
from models.placement.room import HOLDS, MOVED, NOTHING, SAME_DEVICE, SAME_NODE
from models.placement.search import place
from models.placement.slots import Demand, Slot
from tests.unit.models.clusters import GIB, cpu_node, demands, gpu_node, nodes, on_cpu, on_gpu


@settings(max_examples=60, deadline=None)
@given(demands(most=10), nodes())
def test_taking_all_away_leaves_what_was_there_before(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    layout = lay_out(asked, there, place(asked, there).slots)
    for demand, _ in list(layout.placed.values()):
        layout.take(demand)
    assert layout.cost == NOTHING
    assert layout.rooms == Layout(there, {}).rooms


@settings(max_examples=60, deadline=None)
@given(demands(most=10), nodes())
def test_a_snapshot_is_restored(asked: tuple[Demand, ...], there: tuple[Node, ...]) -> None:
    layout = lay_out(asked, there, place(asked, there).slots)
    slots, cost, saved = layout.slots(), layout.cost, layout.snapshot()
    for demand, room in list(layout.placed.values()):
        layout.take(demand)
        for devices in room.choices(demand):
            layout.put(demand, layout.spot(demand, room, devices))
            break
    layout.restore(saved)
    assert (layout.slots(), layout.cost) == (slots, cost)


def test_the_cost_counts_what_the_order_of_preferences_needs() -> None:
    asked = [on_gpu("m", 0.2, replica) for replica in range(3)]
    slots = {("m", 0, 0): Slot("a", (0,)), ("m", 1, 0): Slot("a", (0,)), ("m", 2, 0): Slot("a", (1,))}
    kept = {**slots, ("m", 2, 0): Slot("b", (0,))}
    layout = lay_out(asked, [gpu_node("a"), gpu_node("b")], slots, kept)
    assert [layout.cost[entry] for entry in (MOVED, SAME_NODE, SAME_DEVICE, HOLDS)] == [1, 3, 1, 2]


def test_the_first_replica_brings_what_is_shared() -> None:
    asked = [on_cpu("m", 1, shared_gib=10, replica=replica) for replica in range(2)]
    layout = lay_out(asked, [cpu_node("a", 64)], {demand.key: Slot("a") for demand in asked})
    (room,) = layout.rooms
    assert room.free_bytes == 52 * GIB
    layout.take(asked[0])
    assert room.free_bytes == 53 * GIB
    layout.take(asked[1])
    assert room.free_bytes == 64 * GIB


def test_devices_that_look_alike_are_one_choice() -> None:
    layout = lay_out([on_gpu("k", 0.5)], [gpu_node("a", 4)], {("k", 0, 0): Slot("a", (1,))})
    (room,) = layout.rooms
    assert list(room.choices(on_gpu("m", 0.5))) == [(0,), (1,)]
    assert list(room.choices(on_gpu("m", 0.5, num_ranks=2))) == [(0, 1), (0, 2)]


def test_numbers_in_names_count_as_numbers() -> None:
    assert sorted(["b1", "a10", "a9", "a"], key=natural) == ["a", "a9", "a10", "b1"]
