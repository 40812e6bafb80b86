"""The placement as text: one bar for each device, a colour and a letter for each model, free space in sight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from cluster.planning.bars import Bar, NodeBars, Segment, merge_smallest, share_cells
from cluster.planning.palette import NOBODY, Mark
from models.memory.plan import format_bytes

MIN_BAR_CELLS = 10
_NAME_CELLS = 9
_FIGURES_CELLS = 21
_FREE, _FREE_PLAIN = "░", "-"
_EDGE, _EDGE_PLAIN = "▕", "|"


def draw_nodes(
    nodes: Sequence[NodeBars], marks: Mapping[str, Mark], width: int, *, colour: bool
) -> Iterator[Text]:
    """The lines of the picture, none wider than ``width`` cells unless that leaves no room for a bar.

    With ``colour`` a segment is a field in the colour of its model, with its letter and, where there is room, its
    name; without, it is filled with its letter and ends with ``|``.
    """
    cells = max(MIN_BAR_CELLS, width - _NAME_CELLS - _FIGURES_CELLS)
    for each in nodes:
        yield Text.assemble((each.node.name, "bold"), "  ", (each.facts, "dim"))
        for bar in each.shown_bars:
            drawn = _coloured(bar, marks, cells) if colour else _plain(bar, marks, cells)
            yield Text.assemble(f"  {bar.label:<{_NAME_CELLS - 2}}", drawn, _figures(bar))


def _figures(bar: Bar) -> Text:
    free = f"{format_bytes(bar.free_bytes)} free"
    return Text.assemble((f" {bar.used_percent:3}%", "bold"), (f" {free:>15}", "dim"))


def _parts(bar: Bar, cells: int) -> list[tuple[Segment | None, int]]:
    """Each segment and its cells; at last the free space, as None."""
    segments = merge_smallest(bar.segments, cells - 1)
    widths = share_cells([*(segment.bytes for segment in segments), bar.free_bytes], cells)
    return list(zip((*segments, None), widths, strict=True))


def _coloured(bar: Bar, marks: Mapping[str, Mark], cells: int) -> Text:
    drawn = Text()
    for segment, width in _parts(bar, cells):
        if segment is None:
            drawn.append(_FREE * width, "dim")
            continue
        mark = marks.get(segment.model, NOBODY)
        edge = _EDGE if width > 1 else ""
        label = _label(segment, mark, width - len(edge))
        drawn.append(f"{label:^{width - len(edge)}}{edge}", f"#000000 on {mark.colour}")
    return drawn


def _plain(bar: Bar, marks: Mapping[str, Mark], cells: int) -> Text:
    drawn = Text()
    for segment, width in _parts(bar, cells):
        if segment is None:
            drawn.append(_FREE_PLAIN * width)
            continue
        key = marks.get(segment.model, NOBODY).key
        edge = _EDGE_PLAIN if width > len(key) else ""
        filled = key * width
        drawn.append(filled[: width - len(edge)] + edge)
    return drawn


def _label(segment: Segment, mark: Mark, width: int) -> str:
    """The longest name of the segment that fits into ``width`` cells."""
    candidates = (f" {mark.key} {segment.name} ", f" {mark.key} {segment.model} ", mark.key)
    return next((text for text in candidates if cell_len(text) <= width), "")
