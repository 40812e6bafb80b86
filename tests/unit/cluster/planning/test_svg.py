from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from cluster.planning.bars import draw_bars
from cluster.planning.palette import assign_marks
from cluster.planning.svg import draw_svg
from tests.unit.cluster.clusters import application, cpu_node, gpu_node, planned

SVG = "{http://www.w3.org/2000/svg}"
PLAN = planned([gpu_node(price=2), cpu_node()], application("llama"), application("minilm", device="cpu"))


def drawing(title: str = "a plan") -> ET.Element:
    marks = assign_marks(each.name for each in PLAN.everything)
    return ET.fromstring(draw_svg(PLAN.bars(), marks, title, "one card"))  # noqa: S314 - our own


def texts(root: ET.Element, tag: str) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}{tag}")]


def test_it_says_what_it_is_to_those_who_do_not_see_it() -> None:
    root = drawing()
    named = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert [named[name] for name in (root.get("aria-labelledby") or "").split()] == ["a plan", "one card"]


def test_every_bar_and_segment_is_drawn_to_scale_with_its_bytes_as_a_title() -> None:
    root = drawing()
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "free"]
    assert len(bars) == sum(len(node.shown_bars) for node in PLAN.bars())
    llama, _ = [rect for rect in root.iter(f"{SVG}rect") if title(rect).startswith("llama@1 replica 0: ")]
    gpu = PLAN.bars()[0].bars[0]
    assert float(llama.get("width", 0)) / float(bars[0].get("width", 0)) == pytest.approx(
        gpu.used_bytes / gpu.capacity_bytes, abs=0.001
    )
    assert {"llama@1", "minilm@1", "gpu-0", "cpu-0", "GPU 0", "GPU 1"} <= set(texts(root, "text"))


def title(element: ET.Element) -> str:
    found = element.find(f"{SVG}title")
    return (found.text or "") if found is not None else ""


def test_nothing_is_drawn_outside() -> None:
    root = drawing()
    width, height = map(int, (root.get("viewBox") or "").split()[2:])
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_text_is_escaped() -> None:
    name = "<script>&'\""
    node = replace(cpu_node(), name=name)
    (bars,) = [draw_bars([node], (), PLAN.placement)]
    root = ET.fromstring(draw_svg(bars, {}, name, name))  # noqa: S314 - our own
    assert texts(root, "text")[:2] == [name, name]


def test_it_has_colours_for_dark_pages() -> None:
    assert "prefers-color-scheme: dark" in texts(drawing(), "style")[0]
