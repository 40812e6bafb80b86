"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

Result = TypeVar("Result")


class _Clock(selectors.SelectSelector):
    """Waiting takes no time; only with no timer at all it waits for events in earnest."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(timeout and 0)
        if timeout is not None and not events:
            self.now += max(0.0, timeout)
        return events


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_virtually(main: Coroutine[None, None, Result]) -> Result:
    """As ``asyncio.run``, in no time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
