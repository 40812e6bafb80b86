"""What one replica has done lately, and what it has before it: for the autoscaler, and for metrics. Pure."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

# What "lately" is, and how much of it is kept.
_WINDOW_S = 10.0
_MAX_KEPT = 4096
_NUM_READS = 64


@dataclass(frozen=True, slots=True)
class Work:
    """Of the last seconds. ``num_waiting`` have come and were not begun, ``num_running`` were and did not end.

    ``finished_per_s`` ended, after ``service_s`` from when they came, on the average. ``queue_s``: how long those
    waited that were begun, the 95th percentile. ``busy_share``: of the time, in which something was computed.
    ``tokens_per_s``: of prompts and answers. ``prompt_tokens``: of the mean recent prompt. ``read_tokens_per_s``:
    of recent prompts' tokens over their time to the first of the answer, the 90th percentile. None: nothing to
    tell it by.
    """

    num_waiting: int = 0
    num_running: int = 0
    finished_per_s: float = 0.0
    service_s: float | None = None
    queue_s: float | None = None
    busy_share: float = 0.0
    tokens_per_s: float = 0.0
    prompt_tokens: float | None = None
    read_tokens_per_s: float | None = None


@dataclass(eq=False, slots=True)
class Item:
    """A piece of work: a generation, one input of a batch, a set of tensors."""

    came: float
    began: float | None = None
    ended: bool = False


class WorkMeter:
    """One for each engine; any thread may call it. ``clock`` gives seconds and never goes back.

    ``batch_done`` is told the size and the seconds of what was begun and ended together.
    """

    def __init__(
        self, clock: Callable[[], float], batch_done: Callable[[int, float], None] = lambda *_: None
    ) -> None:
        self._clock = clock
        self._batch_done = batch_done
        self._lock = threading.Lock()
        self._waiting: set[Item] = set()
        self._num_running = 0
        self._busy_s = 0.0
        self._busy_since = 0.0
        self._num_tokens = 0
        self._waits: deque[tuple[float, float]] = deque(maxlen=_MAX_KEPT)
        self._services: deque[tuple[float, float]] = deque(maxlen=_MAX_KEPT)
        self._reads: deque[tuple[int, float]] = deque(maxlen=_NUM_READS)
        self._marks: deque[tuple[float, float, int]] = deque([(clock(), 0.0, 0)])

    def come(self) -> Item:
        """Work has come in."""
        item = Item(self._clock())
        with self._lock:
            self._waiting.add(item)
        return item

    def begin(self, items: Iterable[Item]) -> None:
        """The engine takes them up together, but for those that have ended."""
        now = self._clock()
        with self._lock:
            if not self._num_running:
                self._busy_since = now
            for item in [item for item in items if not item.ended]:
                self._waiting.discard(item)
                item.began = now
                self._waits.append((now, now - item.came))
                self._num_running += 1

    def end(self, items: Sequence[Item]) -> None:
        """The engine is done with them, or they are given up, begun or not; idempotent."""
        now = self._clock()
        with self._lock:
            began = [item.began for item in items if not item.ended and item.began is not None]
            for item in items:
                self._end(item, now)
        if began:
            self._batch_done(len(began), now - began[0])

    def read_prompt(self, item: Item, num_tokens: int) -> None:
        """The first of the answer to a prompt of so many tokens is there."""
        with self._lock:
            self._reads.append((num_tokens, num_tokens / max(self._clock() - item.came, 1e-6)))

    def serve(self, num_tokens: int) -> None:
        """So many more have been computed."""
        with self._lock:
            self._num_tokens += num_tokens

    def read(self) -> Work:
        """As it is now."""
        now = self._clock()
        with self._lock:
            return self._read(now)

    def _end(self, item: Item, now: float) -> None:
        if item.ended:
            return
        item.ended = True
        if item.began is None:
            self._waiting.discard(item)
            return
        self._services.append((now, now - item.came))
        self._num_running -= 1
        if not self._num_running:
            self._busy_s += now - self._busy_since

    def _read(self, now: float) -> Work:
        busy_s = self._busy_s + (now - self._busy_since if self._num_running else 0.0)
        since, busy_before_s, tokens_before = self._mark(now, busy_s)
        elapsed_s = max(now - since, 1e-6)
        services, waits = _recent(self._services, now), _recent(self._waits, now)
        return Work(
            num_waiting=len(self._waiting),
            num_running=self._num_running,
            finished_per_s=len(services) / min(_WINDOW_S, elapsed_s),
            service_s=fmean(services) if services else None,
            queue_s=_quantile(waits, 0.95),
            busy_share=min(1.0, (busy_s - busy_before_s) / elapsed_s),
            tokens_per_s=(self._num_tokens - tokens_before) / elapsed_s,
            prompt_tokens=fmean(size for size, _ in self._reads) if self._reads else None,
            read_tokens_per_s=_quantile([rate for _, rate in self._reads], 0.9),
        )

    def _mark(self, now: float, busy_s: float) -> tuple[float, float, int]:
        """How it was a window ago, or at the start."""
        while len(self._marks) > 1 and self._marks[1][0] <= now - _WINDOW_S:
            self._marks.popleft()
        before = self._marks[0]
        if now > self._marks[-1][0]:
            self._marks.append((now, busy_s, self._num_tokens))
        return before


def _recent(kept: deque[tuple[float, float]], now: float) -> list[float]:
    while kept and kept[0][0] < now - _WINDOW_S:
        kept.popleft()
    return [value for _, value in kept]


def _quantile(values: Sequence[float], share: float) -> float | None:
    """The nearest rank's."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None
