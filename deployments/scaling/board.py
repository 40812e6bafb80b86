"""What all router replicas tell, put together for each version. Pure: times are those of who listens."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deployments.scaling.demand import VersionDemand, load_demand
from deployments.scaling.load import RouterLoad

# Over so long arrivals are counted.
WINDOW_S = 5.0
# A router that has told nothing for so long does not count, and after the longer time is not there any more.
SILENT_S = 15.0
GONE_S = 60.0

_NOTHING = VersionDemand()


@dataclass(frozen=True, slots=True)
class _Count:
    """What had come by ``at``."""

    at: float
    num: int
    tokens: float


@dataclass(slots=True)
class _Router:
    """``heard_at``: when it has last told something new. ``counts``: of each version, over the last window."""

    beat: int
    began: float
    heard_at: float
    versions: Mapping[str, VersionDemand] = field(default_factory=dict)
    counts: dict[str, deque[_Count]] = field(default_factory=dict)


class DemandBoard:
    """Times are in seconds by a clock that never goes back."""

    def __init__(self) -> None:
        self._routers: dict[str, _Router] = {}

    def hear(self, told: Mapping[str, bytes], now: float) -> None:
        """What every router replica, by its name, has told last, as it is read ``now``."""
        for name in self._routers.keys() - told.keys():
            del self._routers[name]
        for name, value in told.items():
            self._hear(name, value, now)

    def gone(self, now: float) -> list[str]:
        """Router replicas that have told nothing for so long that what they told last can be removed."""
        return [name for name, router in self._routers.items() if now - router.heard_at > GONE_S]

    def load(self, version: str, now: float) -> RouterLoad:
        """Of all routers that still tell."""
        routers = [router for router in self._routers.values() if now - router.heard_at <= SILENT_S]
        if not routers:
            return RouterLoad()
        demands = [router.versions.get(version, _NOTHING) for router in routers]
        rates = [_rate(router, version, now) for router in routers]
        return RouterLoad(
            age_s=max(now - router.heard_at for router in routers),
            num_under_way=sum(each.num_under_way for each in demands),
            num_waiting=sum(each.num_waiting for each in demands),
            waiting_tokens=round(sum(each.waiting_tokens for each in demands)),
            num_waking=sum(each.num_waking for each in demands),
            oldest_wait_s=max(each.oldest_wait_s for each in demands),
            arrivals_per_s=sum(num for num, _ in rates),
            arrived_tokens_per_s=sum(tokens for _, tokens in rates),
            window_s=WINDOW_S,
        )

    def versions(self) -> Iterable[str]:
        """Those that were asked for lately."""
        return {version for router in self._routers.values() for version in router.versions}

    def _hear(self, name: str, value: bytes, now: float) -> None:
        router = self._routers.get(name)
        demand = load_demand(value)
        if router is None:
            # Of one that was there before it is not known when what it has counted came.
            router = self._routers[name] = _Router(0, now, now)
            for version, each in demand.versions.items() if demand else ():
                router.counts[version] = deque([_Count(now, each.num_arrived, each.arrived_tokens)])
        if demand is None or demand.beat == router.beat:
            return
        router.beat, router.heard_at, router.versions = demand.beat, now, demand.versions
        for version, each in demand.versions.items():
            counts = router.counts.setdefault(version, deque([_Count(router.began, 0, 0.0)]))
            counts.append(_Count(now, each.num_arrived, each.arrived_tokens))


def _rate(router: _Router, version: str, now: float) -> tuple[float, float]:
    """Arrivals and arrived tokens per second: since the newest count that is a window old, or the oldest."""
    counts = router.counts.get(version)
    if not counts:
        return 0.0, 0.0
    while len(counts) > 1 and counts[1].at <= now - WINDOW_S:
        counts.popleft()
    first, last = counts[0], counts[-1]
    elapsed_s = min(WINDOW_S, now - first.at)
    if elapsed_s <= 0:
        return 0.0, 0.0
    return (last.num - first.num) / elapsed_s, (last.tokens - first.tokens) / elapsed_s
