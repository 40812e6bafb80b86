"""A replica watches its own memory: it reports it, and does what the policy says when it is over its budget."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.engines.meters import Meter
from models.errors import EngineError, OverloadedError
from models.memory.measured import BudgetState, Compared, Reading, at_fault, compare, deviation, judge
from models.memory.plan import MemoryPlan, format_bytes

logger = logging.getLogger("ray.serve")

MemoryPolicy = Literal["warn", "shed", "restart"]

PERIOD_S = 5.0
_RETRY_AFTER_S = 2 * PERIOD_S

_CONSEQUENCE = {
    "warn": "it goes on, for memory_policy is warn",
    "shed": "it refuses new work until it is back",
    "restart": "its health check fails, so that Serve replaces it",
}
_NO_RESTART = "it goes on, for it was never within its budget: a restart would not help"


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What one look found. ``peak_bytes`` is the most since the replica was ready."""

    reading: Reading
    peak_bytes: int
    compared: tuple[Compared, ...]
    state: BudgetState


class MemoryWatch:
    """Made when the engine is ready; looks every ``period_s`` on a thread of its own once started."""

    def __init__(
        self,
        plan: MemoryPlan,
        policy: MemoryPolicy,
        meter: Meter,
        report: Callable[[MemoryReport], None],
        period_s: float = PERIOD_S,
    ) -> None:
        self._plan = plan
        self._policy = policy
        self._meter = meter
        self._report = report
        self._period_s = period_s
        self._ready = meter.read()
        self._peak_bytes = self._ready.total_bytes
        self._state = BudgetState()
        self._reason = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """The thread ends after the look that it is at."""
        self._done.set()

    def admit(self) -> OverloadedError | None:
        """The answer to new work while it is shed, None when it may come in."""
        if self._policy == "shed" and self._state.over:
            return OverloadedError(f"{self._reason}; new work is refused", retry_after_s=_RETRY_AFTER_S)
        return None

    def check(self) -> None:
        """EngineError while the replica should be replaced."""
        if self._policy == "restart" and self._state.over and self._state.has_fitted:
            raise EngineError(self._reason)

    def look(self) -> MemoryReport:
        """Measure, decide and report once."""
        reading = self._meter.read()
        before, self._peak_bytes = self._state, max(self._peak_bytes, reading.high_bytes)
        state = judge(before, reading.high_bytes, self._plan.budget_bytes)
        found = MemoryReport(reading, self._peak_bytes, compare(self._plan, self._ready, reading), state)
        if state.over:
            self._reason = _reason(self._plan, found)
        self._state = state
        self._tell(before, state)
        self._report(found)
        return found

    def _tell(self, before: BudgetState, now: BudgetState) -> None:
        """One line when it goes over, one when it is back."""
        if now.over and not before.over:
            hopeless = self._policy == "restart" and not now.has_fitted
            logger.warning("%s; %s.", self._reason, _NO_RESTART if hopeless else _CONSEQUENCE[self._policy])
        elif before.over and not now.over:
            logger.warning("%s is back within its memory budget.", self._plan.id)

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("The memory of %s could not be measured; trying again.", self._plan.id)
            self._done.wait(self._period_s)


def _reason(plan: MemoryPlan, found: MemoryReport) -> str:
    """Names the culprit: by how much, and which terms."""
    worst = at_fault(found.compared)
    high_bytes = found.reading.high_bytes
    return (
        f"{plan.id} takes {format_bytes(high_bytes)} of memory, {deviation(plan.budget_bytes, high_bytes):.1%} "
        f"over its budget of {format_bytes(plan.budget_bytes)} ({worst.name}: planned "
        f"{format_bytes(worst.planned_bytes)}, measured {format_bytes(worst.measured_bytes)})"
    )
