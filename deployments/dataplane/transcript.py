"""An answer that is kept: to compare two versions by it, or to log it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# Vectors of two versions that are meant to be the same differ by rounding, or by the scale of a quantised copy.
_TOLERANCE = 1e-3


@dataclass(slots=True)
class Transcript:
    """The pieces of a text with the calls of tools in it, or arrays; ``complete`` once nothing is missing."""

    pieces: list[str] = field(default_factory=list)
    arrays: tuple[npt.NDArray[np.generic], ...] = ()
    complete: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def agrees(self, other: Transcript) -> bool:
        """Whether both say the same, numbers to a thousandth."""
        if self.text != other.text or len(self.arrays) != len(other.arrays):
            return False
        return all(map(_close, self.arrays, other.arrays))


def _close(left: npt.NDArray[np.generic], right: npt.NDArray[np.generic]) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    return bool(np.allclose(left, right, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True))
