"""The placement as an SVG file: the bars of the picture, their legend, and a title on everything that is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from cluster.planning.bars import Bar, NodeBars
from cluster.planning.palette import NOBODY, Mark
from models.memory.plan import format_bytes

# In pixels.
_WIDTH, _MARGIN = 1000, 16
_LABEL_WIDTH, _FIGURES_WIDTH = 72, 168
_BAR_X = _MARGIN + _LABEL_WIDTH
_BAR_WIDTH = _WIDTH - _BAR_X - _FIGURES_WIDTH - _MARGIN
_BAR_HEIGHT, _ROW, _HEADING = 20, 26, 34
_LEGEND_ROW, _LEGEND_COLUMNS = 22, 4
_LETTER_WIDTH = 6.8  # of the widest usual letters in 12 px; a name is only written where it surely fits

# Text takes the colour of the page's scheme; what stands on a model's colour is dark in both.
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.node { font-weight: 600; }
.note { fill: #57606a; }
.figure { text-anchor: end; font-variant-numeric: tabular-nums; }
.name { fill: #111; text-anchor: middle; }
.free { fill: #8c959f; fill-opacity: 0.18; stroke: #8c959f; stroke-opacity: 0.5; }
.segment { stroke: #111; stroke-opacity: 0.35; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .name { fill: #111; }
}
"""


def draw_svg(nodes: Sequence[NodeBars], marks: Mapping[str, Mark], title: str, description: str) -> str:
    """The document. It needs no other file, and reads on light and dark pages."""
    body = Element("g")
    y = _MARGIN + 20
    _text(body, _MARGIN, y, title, "title")
    for each in nodes:
        y = _draw_node(body, each, marks, y + 12)
    bottom = _draw_legend(body, _shown_marks(nodes, marks), y + 28)
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {bottom + _MARGIN}",
            "width": str(_WIDTH),
            "height": str(bottom + _MARGIN),
            "role": "img",
            "aria-labelledby": "title description",
        },
    )
    SubElement(root, "title", {"id": "title"}).text = title
    SubElement(root, "desc", {"id": "description"}).text = description
    SubElement(root, "style").text = _STYLE
    root.append(body)
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def _draw_node(parent: Element, each: NodeBars, marks: Mapping[str, Mark], y: int) -> int:
    """The node's heading and bars below ``y``; the y of its bottom."""
    _text(parent, _MARGIN, y + 18, each.node.name, "node")
    _text(parent, _WIDTH - _MARGIN, y + 18, each.facts, "note figure")
    y += _HEADING - 8
    for bar in each.shown_bars:
        _draw_bar(parent, bar, marks, y)
        y += _ROW
    return y


def _draw_bar(parent: Element, bar: Bar, marks: Mapping[str, Mark], y: int) -> None:
    baseline = y + 14
    _text(parent, _MARGIN, baseline, bar.label, "note")
    free = _rect(parent, _BAR_X, y, _BAR_WIDTH, "free")
    _title(free, f"{bar.label} of {bar.node}, {bar.device}: {format_bytes(bar.capacity_bytes)}")
    for x, width, index in _spans(bar):
        segment = bar.segments[index]
        mark = marks.get(segment.model, NOBODY)
        drawn = _rect(parent, x, y, width, "segment")
        drawn.set("fill", mark.colour)
        _title(drawn, f"{segment}: {format_bytes(segment.bytes)}")
        name = next(
            (n for n in (segment.name, segment.model, mark.key) if len(n) * _LETTER_WIDTH + 4 <= width), None
        )
        if name:
            _text(parent, x + width / 2, baseline, name, "name")
    _text(parent, _BAR_X + _BAR_WIDTH + 48, baseline, f"{bar.used_percent}%", "figure")
    _text(parent, _WIDTH - _MARGIN, baseline, f"{format_bytes(bar.free_bytes)} free", "note figure")


def _spans(bar: Bar) -> Iterator[tuple[float, float, int]]:
    """x, width and index of each segment, to scale."""
    scale = _BAR_WIDTH / max(bar.capacity_bytes, bar.used_bytes, 1)
    x = float(_BAR_X)
    for index, segment in enumerate(bar.segments):
        width = segment.bytes * scale
        yield x, width, index
        x += width


def _shown_marks(nodes: Sequence[NodeBars], marks: Mapping[str, Mark]) -> dict[str, Mark]:
    shown = {segment.model for each in nodes for bar in each.shown_bars for segment in bar.segments}
    return {model: mark for model, mark in marks.items() if model in shown}


def _draw_legend(parent: Element, marks: Mapping[str, Mark], y: int) -> int:
    column_width = (_WIDTH - 2 * _MARGIN) // _LEGEND_COLUMNS
    for index, (model, mark) in enumerate(marks.items()):
        row, column = divmod(index, _LEGEND_COLUMNS)
        x, top = _MARGIN + column * column_width, y + row * _LEGEND_ROW
        swatch = _rect(parent, x, top, 24, "segment", height=16)
        swatch.set("fill", mark.colour)
        _text(parent, x + 12, top + 12, mark.key, "name")
        _text(parent, x + 32, top + 12, model, "note")
    return y + -(-len(marks) // _LEGEND_COLUMNS) * _LEGEND_ROW


def _text(parent: Element, x: float, y: float, text: str, css_class: str) -> None:
    SubElement(parent, "text", {"x": _number(x), "y": _number(y), "class": css_class}).text = text


def _rect(parent: Element, x: float, y: float, width: float, css_class: str, height: int = _BAR_HEIGHT) -> Element:
    place = {"x": _number(x), "y": _number(y), "width": _number(width), "height": str(height)}
    return SubElement(parent, "rect", {**place, "class": css_class})


def _title(parent: Element, text: str) -> None:
    SubElement(parent, "title").text = text


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
