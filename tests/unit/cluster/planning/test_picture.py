from __future__ import annotations

import pytest
from rich.cells import cell_len

from cluster.planning.bars import draw_bars
from cluster.planning.palette import assign_marks
from cluster.planning.picture import draw_nodes
from models.hardware import Device, Node
from models.placement.slots import Demand, Placement, Slot

# 100 bytes each, to see percentages.
TOY = Device("toy", "cuda", 100, 100)
NODES = [Node("n-0", 8, 1000, TOY, 2, price_per_hour=1.5)]
DEMANDS = [
    Demand("llama@1", 0, "toy", 50),
    Demand("bert@1", 0, "toy", 25, host_bytes=500),
    Demand("bert@1", 1, "toy", 1),
]
SLOTS = {
    ("llama@1", 0, 0): Slot("n-0", (0,)),
    ("bert@1", 0, 0): Slot("n-0", (0,)),
    ("bert@1", 1, 0): Slot("n-0", (1,)),
}
NODE_BARS = draw_bars(NODES, DEMANDS, Placement(SLOTS))
MARKS = assign_marks(["llama@1", "bert@1"])


def lines(width: int, *, colour: bool) -> list[str]:
    return [line.plain for line in draw_nodes(NODE_BARS, MARKS, width, colour=colour)]


def test_without_colour_letters_tell_the_models_and_dashes_what_is_free() -> None:
    assert lines(70, colour=False) == [
        "n-0  2 x toy, 0 of 8 CPUs, 1000 B, 1.50 per hour",
        "  GPU 0  AAAAAAAAAAAAAAAAAAA|BBBBBBBBB|----------  75%       25 B free",
        "  GPU 1  B---------------------------------------   1%       99 B free",
        "  memory BBBBBBBBBBBBBBBBBBB|--------------------  50%      500 B free",
    ]


def test_with_colour_fields_carry_names_where_there_is_room() -> None:
    _, full, thin, _ = draw_nodes(NODE_BARS, MARKS, 70, colour=True)
    assert "A llama@1" in full.plain
    assert "B bert@1" not in full.plain
    assert "  B  " in full.plain
    assert "B░░░░" in thin.plain
    styles = [str(span.style) for span in full.spans]
    assert [f"#000000 on {MARKS[name].colour}" in styles for name in ("llama@1", "bert@1")] == [True, True]


@pytest.mark.parametrize("width", [45, 80, 120, 233])
@pytest.mark.parametrize("colour", [True, False])
def test_the_picture_follows_the_width(width: int, colour: bool) -> None:
    assert {cell_len(line) for line in lines(width, colour=colour)[1:]} == {width}


def test_a_bar_with_more_models_than_cells_says_so_with_a_plus() -> None:
    names = [f"m{i}" for i in range(200)]
    demands = [Demand(name, 0, "cpu", 1) for name in names]
    node = Node("n", 8, 1000)
    bars = draw_bars([node], demands, Placement({(name, 0, 0): Slot("n") for name in names}))
    _, line = draw_nodes(bars, assign_marks(names), 80, colour=False)
    assert "+" in line.plain
    assert line.plain.endswith("20%      800 B free")


def test_a_model_without_a_mark_is_drawn_as_nobody_s() -> None:
    _, line, *_ = draw_nodes(NODE_BARS, {}, 80, colour=False)
    assert "++++|" in line.plain
