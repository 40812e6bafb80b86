"""Whether a command printed what a document says that it prints."""

from __future__ import annotations

import re
from collections.abc import Mapping

VARYING = {"created"}


def matches(written: str, printed: str) -> bool:
    """Whether the text is as written, where ``...`` stands for anything and the width of gaps does not count."""
    parts = (re.escape(part.strip()) for part in _single_gaps(written).split("..."))
    return re.fullmatch(".*".join(parts), _single_gaps(printed), re.DOTALL) is not None


def _single_gaps(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def same(written: object, printed: object) -> bool:
    """Whether two JSON values are the same, but for what every reply has of its own."""
    if isinstance(written, Mapping) and isinstance(printed, Mapping):
        return written.keys() == printed.keys() and all(
            key in VARYING or same(value, printed[key]) for key, value in written.items()
        )
    if isinstance(written, list) and isinstance(printed, list):
        return len(written) == len(printed) and all(map(same, written, printed))
    if isinstance(written, str) and isinstance(printed, str):
        return matches(written, printed)
    return written == printed
