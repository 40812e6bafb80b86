"""Stop strings in text that is still arriving."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import InvalidRequestError


class StopMatcher:
    """Cuts a text before the stop string that is completed first.

    Of two stop strings completed by the same character the longer one counts. How the text is divided into
    pieces makes no difference. ``matched`` is that stop string, None before.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if "" in stops:
            raise InvalidRequestError(
                "a stop string is empty", remedy="leave it out, or give at least one character", param="stop"
            )
        self._stops = tuple(stops)
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> tuple[str, bool]:
        """The text that can be emitted, and whether a stop string was found. After one, nothing is emitted."""
        if self.matched is not None:
            return "", True
        text = self._held + text
        matches = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if matches:
            end, start = min(matches)
            self.matched, self._held = text[start:end], ""
            return text[:start], True
        certain = len(text) - self._num_uncertain(text)
        self._held = text[certain:]
        return text[:certain], False

    def flush(self) -> str:
        """The text that was held back because it may have begun a stop string."""
        held, self._held = self._held, ""
        return held

    def _num_uncertain(self, text: str) -> int:
        """Length of the longest end of ``text`` with which a stop string begins."""
        return max((overlap(text, stop) for stop in self._stops), default=0)


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` with which ``stop`` begins, short of all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
