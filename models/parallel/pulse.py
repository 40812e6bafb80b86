"""How far a rank is and what it does: counted by the one that works, read by those that watch."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from models.progress import Progress


@dataclass(frozen=True, slots=True)
class Pulse:
    """One look at a rank. ``count`` only grows. ``waits_for``: the ranks without which it cannot go on."""

    count: int
    doing: str
    waits_for: tuple[int, ...] = ()


class ProgressCounter:
    """Beats with every step of a rank's work. Safe to read from other threads."""

    def __init__(self, doing: str = "starts") -> None:
        self._lock = Lock()
        self._pulse = Pulse(0, doing)

    def advance(self, doing: str, waits_for: tuple[int, ...] = ()) -> None:
        """A step is done, and this one begins: ``computes layer 7``, or ``waits for hidden states`` of others."""
        with self._lock:
            self._pulse = Pulse(self._pulse.count + 1, doing, waits_for)

    def snapshot(self) -> Pulse:
        """How it is now."""
        return self._pulse


class BeatingProgress:
    """Tells ``progress``, and beats with every word of it: long work that gets on is not taken for a stall."""

    def __init__(self, progress: Progress, pulse: ProgressCounter) -> None:
        self._progress = progress
        self._pulse = pulse

    def step(self, message: str) -> None:
        """As ``Progress.step``."""
        self._progress.step(message)
        self._pulse.advance(message)

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        """As ``Progress.advance``."""
        self._progress.advance(done_bytes, total_bytes)
        self._pulse.advance(f"has {done_bytes:,} of {total_bytes:,} B")
