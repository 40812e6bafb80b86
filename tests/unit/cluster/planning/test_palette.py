from __future__ import annotations

from cluster.planning.palette import assign_marks


def test_each_model_has_its_own_mark() -> None:
    marks = assign_marks([f"m{i}" for i in range(200)])
    assert len({mark.key for mark in marks.values()}) == 200
    assert len({mark.colour for mark in marks.values()}) == 200
    assert [mark.key for mark in marks.values()][:2] == ["A", "B"]


def test_black_text_can_be_read_on_every_colour() -> None:
    """WCAG 2.2, contrast of 4.5 to 1 for text."""
    assert min(contrast_with_black(mark.colour) for mark in assign_marks(map(str, range(200))).values()) >= 4.5


def contrast_with_black(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (luminance + 0.05) / 0.05
