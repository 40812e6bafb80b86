"""A replica watches its own memory: it reports it, and does what the policy says when it is over its budget."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from deployments.args import MemoryPolicy
from models.engines.meters import Meter
from models.errors import EngineError, OverloadedError
from models.memory.measured import (
    BudgetState,
    Compared,
    MemoryReport,
    Planned,
    Reading,
    at_fault,
    deviation,
    judge,
)
from models.memory.plan import format_bytes
from models.memory.terms import MemoryTerm

logger = logging.getLogger("ray.serve")

Comparison = Callable[[Sequence[MemoryTerm], Reading], tuple[Compared, ...]]

PERIOD_S = 5.0
_RETRY_AFTER_S = 2 * PERIOD_S

_CONSEQUENCE = {
    "warn": "it goes on, for memory_policy is warn",
    "shed": "it sheds work until it is back",
    "restart": "its health check fails, so that Serve replaces it",
}
_NO_RESTART = "it goes on, for it was never within its budget: a restart would not help"


class MemoryWatch:
    """Made when the engine is ready; looks again and again on a thread of its own once started.

    ``planned`` says at each look what the replica is planned at then. ``report`` is called on the thread.
    """

    def __init__(
        self,
        planned: Callable[[], Planned],
        policy: MemoryPolicy,
        meter: Meter,
        compare: Comparison,
        report: Callable[[MemoryReport], None],
    ) -> None:
        self._ask = planned
        self._policy = policy
        self._meter = meter
        self._compare = compare
        self._report = report
        self._planned = planned()
        self._most_bytes = self._peak_bytes = 0
        self._state = BudgetState()
        self._reason = ""
        self._done = threading.Event()

    def start(self, period_s: float = PERIOD_S) -> None:
        """Look at once, and then every ``period_s``."""
        threading.Thread(target=self._run, args=(period_s,), name="memory-watch", daemon=True).start()

    def close(self) -> None:
        """The thread ends after the look that it is at."""
        self._done.set()

    def admit(self) -> OverloadedError | None:
        """The answer to new work while it is shed, None when it may come in."""
        if self._policy == "shed" and self._state.over:
            return OverloadedError(f"{self._reason}; new work is refused", retry_after_s=_RETRY_AFTER_S)
        return None

    def fault(self) -> str | None:
        """Why the replica should be replaced, while it should."""
        is_fault = self._policy == "restart" and self._state.over and self._state.has_fitted
        return self._reason if is_fault else None

    def check(self) -> None:
        """EngineError while the replica should be replaced."""
        if fault := self.fault():
            raise EngineError(fault)

    def look(self) -> MemoryReport:
        """Measure, decide and report once."""
        planned, reading = self._ask(), self._meter.read()
        before, state = self._state, judge(self._state, reading.high_bytes, planned.budget_bytes)
        self._keep_peaks(planned, reading)
        found = MemoryReport(
            planned=planned,
            reading=reading,
            peak_bytes=self._peak_bytes,
            deviation=deviation(planned.total_bytes, self._most_bytes),
            compared=self._compare(planned.terms, reading),
            state=state,
        )
        if state.over:
            self._reason = _reason(found)
        self._state = state
        self._tell(before, state)
        self._report(found)
        return found

    def _keep_peaks(self, planned: Planned, reading: Reading) -> None:
        """A peak since the look before may be of what was planned then."""
        changed = planned != self._planned
        self._most_bytes = reading.total_bytes if changed else max(self._most_bytes, reading.high_bytes)
        self._peak_bytes = max(self._peak_bytes, reading.high_bytes)
        self._planned = planned

    def _tell(self, before: BudgetState, now: BudgetState) -> None:
        """One line when it goes over, one when it is back."""
        if now.over and not before.over:
            hopeless = self._policy == "restart" and not now.has_fitted
            logger.warning("%s; %s.", self._reason, _NO_RESTART if hopeless else _CONSEQUENCE[self._policy])
        elif before.over and not now.over:
            logger.warning("%s is back within its memory budget.", self._planned.owner)

    def _run(self, period_s: float) -> None:
        while not self._done.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("The memory of %s could not be measured; trying again.", self._planned.owner)
            self._done.wait(period_s)


def _reason(found: MemoryReport) -> str:
    """Names the culprit: by how much, and which terms."""
    worst = at_fault(found.compared)
    high_bytes, budget_bytes = found.reading.high_bytes, found.planned.budget_bytes
    return (
        f"{found.planned.owner} takes {format_bytes(high_bytes)} of memory, "
        f"{deviation(budget_bytes, high_bytes):.1%} over its budget of {format_bytes(budget_bytes)} "
        f"({worst.name}: planned {format_bytes(worst.planned_bytes)}, "
        f"measured {format_bytes(worst.measured_bytes)})"
    )
