"""What batches ask for: the time to compute them, such that none waits longer than the target."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from deployments.scaling.decision import Need
from deployments.scaling.load import BatchUse, Load
from deployments.scaling.memory import Memory
from deployments.scaling.offered import Offered
from deployments.scaling.orders import served_s
from deployments.scaling.settings import ScalingSettings
from deployments.scaling.staffing import backlog, staff

_MOST_BUSY = 0.8


@dataclass(frozen=True, slots=True)
class _Times:
    """A batch of b takes ``base_s + b * item_s``."""

    base_s: float
    item_s: float

    def items_per_s(self, queue_s: float, max_batch: float) -> float:
        """The most that one replica can be sent, so that what comes during a batch is the next one and waits for
        no longer than ``queue_s``.

        At x a second a batch has b = x * T(b) in it, so it takes base / (1 - x * item), which is to be at most
        ``queue_s``; and it has at most ``max_batch``. Where even an empty one takes longer than that, the second
        bound alone is left.
        """
        full = max_batch / (self.base_s + max_batch * self.item_s)
        if self.item_s <= 0 or self.base_s >= queue_s:
            return full
        return min(full, (1 - self.base_s / queue_s) / self.item_s)


def batch_needs(load: Load, offered: Offered, settings: ScalingSettings, memory: Memory) -> tuple[Need, ...]:
    """As many as compute what comes, and work off within ``queue_s`` what will have piled up by the time that a
    replica takes part that is decided on now."""
    uses = [replica.batches for replica in offered.fresh if replica.batches is not None]
    times = _times(uses)
    if times is None:
        return (_by_busy(load, offered, settings, uses),)
    max_batch = fmean([replica.max_num_seqs for replica in offered.fresh])
    full_per_s = max_batch / (times.base_s + max_batch * times.item_s)
    waiting = max(0.0, offered.num_waiting - load.num_ready * max_batch)
    served = served_s(memory.orders, load.num_ready, load.now, load.cold_start_s) * full_per_s
    waiting = backlog(waiting, offered.arrivals_per_s * load.cold_start_s, served)
    amount = offered.arrivals_per_s + waiting / settings.queue_s
    per_replica = _MOST_BUSY * times.items_per_s(settings.queue_s, max_batch)
    words = (
        f"{offered.arrivals_per_s:.3g} requests a second, and {waiting:.0f} that will have piled up, "
        f"of {per_replica:.3g} a second that a replica computes with no more than {settings.queue_s:g} s of queue"
    )
    return (staff("batches", amount, lambda _: per_replica, words),)


def _times(uses: list[BatchUse]) -> _Times | None:
    known = [use for use in uses if use.batch_base_s is not None and use.batch_item_s is not None]
    if not known:
        return None
    base_s, item_s = (fmean([getattr(use, name) for use in known]) for name in ("batch_base_s", "batch_item_s"))
    return _Times(base_s, item_s) if base_s + item_s > 0 else None


def _by_busy(load: Load, offered: Offered, settings: ScalingSettings, uses: list[BatchUse]) -> Need:
    """While it is not known how long batches take: by the time that they take, and the places of one batch."""
    busy = fmean([use.busy_share for use in uses]) * load.num_ready if uses else 0.0
    amount = busy + offered.num_waiting / settings.max_num_seqs
    words = f"replicas are busy {busy:.2f} of their time, and {offered.num_waiting:.0f} requests wait"
    return staff("busy", amount, lambda _: _MOST_BUSY, words)
