from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.planning.bars import Segment, draw_bars, merge_smallest, share_cells
from models.hardware import UNBOUNDED_CPUS, Node
from models.placement.slots import Demand, Placement, Slot
from tests.unit.cluster.clusters import GIB, H100, cpu_node, gpu_node

amounts = st.lists(st.integers(0, 10**12), min_size=1, max_size=30)


@given(amounts, st.integers(30, 200))
def test_cells_are_shared_out_whole_and_nothing_is_invisible(sizes: list[int], num_cells: int) -> None:
    cells = share_cells(sizes, num_cells)
    assert sum(cells) == (num_cells if sum(sizes) else 0)
    assert all((cell > 0) == (size > 0) for cell, size in zip(cells, sizes, strict=True))


@given(amounts, st.integers(30, 200))
def test_cells_are_in_proportion_but_for_what_would_vanish(sizes: list[int], num_cells: int) -> None:
    total, num_small = sum(sizes), sum(0 < size * num_cells < sum(sizes) for size in sizes)
    for size, cell in zip(sizes, share_cells(sizes, num_cells), strict=True):
        assert not total or abs(cell - size * num_cells / total) <= 1 + num_small


def test_too_many_for_the_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="3 amounts"):
        share_cells([1, 1, 1], 2)


@given(st.lists(st.integers(1, 1000), max_size=20), st.integers(1, 10))
def test_the_smallest_are_drawn_together(sizes: list[int], most: int) -> None:
    segments = [Segment(f"m{i}", 0, size) for i, size in enumerate(sizes)]
    merged = merge_smallest(segments, most)
    assert len(merged) <= most
    assert sum(segment.bytes for segment in merged) == sum(sizes)
    if len(sizes) > most:
        kept, rest = merged[:-1], merged[-1]
        assert rest.model == ""
        assert all(segment in segments for segment in kept)


def test_each_gpu_and_each_memory_holds_what_is_placed_there() -> None:
    demands = (
        Demand("big", 0, H100.name, 60 * GIB, num_ranks=2, host_bytes=3 * GIB, num_cpus=4),
        Demand("small", 0, H100.name, 10 * GIB, host_bytes=1 * GIB, num_cpus=1),
    )
    slots = {("big", 0, 0): Slot("gpu-0", (0, 2)), ("small", 0, 0): Slot("gpu-0", (2,))}
    (node,) = draw_bars([gpu_node(num_devices=3)], demands, Placement(slots))
    assert [bar.used_bytes // GIB for bar in node.bars] == [60, 0, 70, 4]
    assert [bar.label for bar in node.bars] == ["GPU 0", "GPU 1", "GPU 2", "memory"]
    assert node.bars[2].free_bytes == H100.usable_bytes - 70 * GIB
    assert (node.num_replicas, node.used_cpus) == (2, 5)


def test_what_replicas_share_counts_once_on_each_node() -> None:
    demands = [Demand("m", replica, "cpu", 1 * GIB, shared_bytes=4 * GIB) for replica in range(3)]
    slots = {("m", 0, 0): Slot("cpu-0"), ("m", 1, 0): Slot("cpu-0"), ("m", 2, 0): Slot("cpu-1")}
    first, second = draw_bars([cpu_node(), cpu_node("cpu-1")], demands, Placement(slots))
    assert [(each.replica, each.bytes // GIB) for each in first.bars[0].segments] == [(None, 4), (0, 1), (1, 1)]
    assert [(each.replica, each.bytes // GIB) for each in second.bars[0].segments] == [(2, 5)]


def test_what_has_no_place_is_not_drawn_and_memory_beside_gpus_only_when_used() -> None:
    unplaced = Demand("m", 0, H100.name, GIB)
    (node,) = draw_bars([gpu_node()], [unplaced], Placement({}, (unplaced,)))
    assert [bar.label for bar in node.shown_bars] == ["GPU 0", "GPU 1"]
    assert node.num_replicas == 0


def test_facts_of_a_node() -> None:
    (gpu,) = draw_bars([gpu_node(price=39.8)], (), Placement({}))
    assert gpu.facts == "2 x h100-80gb, 0 of 32 CPUs, 200.0 GiB, 39.80 per hour"
    (made_up,) = draw_bars([Node("n", UNBOUNDED_CPUS, GIB)], (), Placement({}))
    assert made_up.facts == "0 CPUs, 1.0 GiB"


def test_each_rank_of_a_group_is_a_segment_on_its_gpu() -> None:
    one = Demand("big", 1, H100.name, 60 * GIB, num_ranks=2, host_bytes=5, num_cpus=2, num_parts=2)
    demands = (one, replace(one, part=1, device_bytes=50 * GIB, host_bytes=4))
    slots = {("big", 1, 0): Slot("gpu-0", (3, 0)), ("big", 1, 1): Slot("gpu-1", (0, 1))}
    first, second = draw_bars([gpu_node(num_devices=4), gpu_node("gpu-1")], demands, Placement(slots))
    drawn = [(bar.label, str(each), each.bytes // GIB) for bar in first.bars[:4] for each in bar.segments]
    assert drawn == [("GPU 0", "big replica 1 rank 1", 60), ("GPU 3", "big replica 1 rank 0", 60)]
    assert [(each.rank, each.bytes) for each in first.bars[4].segments] == [(0, 2), (1, 3)]
    assert [(each.rank, each.bytes) for each in second.bars[2].segments] == [(2, 2), (3, 2)]
    assert [each.name for bar in second.bars[:2] for each in bar.segments] == ["big rank 2", "big rank 3"]
    assert (first.num_replicas, second.num_replicas, first.used_cpus) == (1, 1, 2)


def test_stages_share_with_their_own_kind() -> None:
    parts = [
        Demand("m", replica, "cpu", 1 * GIB, shared_bytes=(4 + part) * GIB, part=part, num_parts=2)
        for replica in range(2)
        for part in range(2)
    ]
    slots = {part.key: Slot("cpu-0") for part in parts[:3]}
    (node,) = draw_bars([cpu_node()], parts, Placement(slots))
    assert [(each.replica, each.rank, each.bytes // GIB) for each in node.bars[0].segments] == [
        (None, None, 4),
        (0, 0, 1),
        (0, 1, 6),
        (1, 0, 1),
    ]
    assert node.num_replicas == 2
