"""By what a model is known in a picture: a letter, and a colour on which black text can be read."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

_LETTERS = ascii_uppercase + ascii_lowercase
# Successive multiples of the golden angle never come close to each other on the circle of hues.
_GOLDEN_TURN = 0.381966
_FIRST_HUE = 0.57
_LIGHTNESS = (0.72, 0.82, 0.66)


@dataclass(frozen=True, slots=True)
class Mark:
    """``key`` is one letter, or a letter and a number; ``colour`` is written as ``#rrggbb``."""

    key: str
    colour: str


NOBODY = Mark("+", "#9e9e9e")  # of segments that are too small to be told apart


def assign_marks(models: Iterable[str]) -> dict[str, Mark]:
    """A mark for each of ``models``, by their order."""
    return {model: Mark(_key(i), _colour(i)) for i, model in enumerate(dict.fromkeys(models))}


def _key(index: int) -> str:
    row, column = divmod(index, len(_LETTERS))
    return _LETTERS[column] + (str(row) if row else "")


def _colour(index: int) -> str:
    hue = (_FIRST_HUE + index * _GOLDEN_TURN) % 1
    channels = colorsys.hls_to_rgb(hue, _LIGHTNESS[index % len(_LIGHTNESS)], 0.62)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
