"""Running means over time, for looks at uneven intervals."""

from __future__ import annotations

import math


def drift(last: float | None, new: float, elapsed_s: float | None, over_s: float) -> float:
    """The exponentially weighted mean with the time constant ``over_s``; ``new`` where there is none yet."""
    if last is None or elapsed_s is None:
        return new
    return new + (last - new) * math.exp(-max(0.0, elapsed_s) / over_s)
