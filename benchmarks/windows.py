"""One window of load on one target after the other, within rounds: what every comparison of servers is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.server import Server
from benchmarks.tables import Metrics
from benchmarks.wrk import Wrk


@dataclass(frozen=True, slots=True)
class Target:
    """What is called at ``url``, and the servers whose CPU counts."""

    url: str
    servers: tuple[Server, ...]

    def cpu_s(self) -> float:
        return sum(server.cpu_s() for server in self.servers)


@dataclass(frozen=True, slots=True)
class Sample:
    """One window. ``cpu_ms`` is of all processes of the target's servers, per request."""

    setting: str
    round: int
    target: str
    connections: int
    requests_per_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    cpu_ms: float
    idle_cores: float


METRICS: Metrics[Sample] = {
    "requests/s": lambda sample: sample.requests_per_s,
    "p50": lambda sample: sample.latency_p50_ms,
    "p99": lambda sample: sample.latency_p99_ms,
    "CPU/request": lambda sample: sample.cpu_ms,
    "CPU/request over idle": lambda sample: sample.cpu_ms - 1e3 * sample.idle_cores / sample.requests_per_s,
}


class Windows:
    """Measures targets in turn, for ``window_s`` each. ``setting``: what all of them have in common."""

    def __init__(self, wrk: Wrk, connections: Sequence[int], window_s: int) -> None:
        self._wrk = wrk
        self._connections = connections
        self._window_s = window_s

    def warm_up(self, targets: Mapping[str, Target]) -> dict[str, float]:
        """A window of each that does not count; then how many cores each keeps busy when nobody calls."""
        for target in targets.values():
            self._wrk.run(target.url, max(self._connections), self._window_s)
        idle = {server: server.idle_cores() for server in {s for t in targets.values() for s in t.servers}}
        return {name: sum(idle[server] for server in target.servers) for name, target in targets.items()}

    def round(
        self, setting: str, number: int, targets: Mapping[str, Target], idle_cores: Mapping[str, float]
    ) -> Iterator[Sample]:
        """Every target at every number of connections."""
        # The first one is at a disadvantage if the machine speeds up, so the order alternates.
        names = list(targets) if number % 2 == 0 else list(targets)[::-1]
        for connections, name in product(self._connections, names):
            cpu_before_s = targets[name].cpu_s()
            report = self._wrk.run(targets[name].url, connections, self._window_s)
            cpu_s = targets[name].cpu_s() - cpu_before_s
            yield Sample(
                setting=setting,
                round=number,
                target=name,
                connections=connections,
                requests_per_s=report.requests_per_s,
                latency_p50_ms=1e3 * report.latency_p50_s,
                latency_p99_ms=1e3 * report.latency_p99_s,
                cpu_ms=1e3 * cpu_s / report.num_requests,
                idle_cores=idle_cores[name],
            )


def select(samples: Sequence[Sample], setting: str, target: str, connections: int) -> list[Sample]:
    """One series, by round."""
    wanted = (setting, target, connections)
    chosen = [sample for sample in samples if (sample.setting, sample.target, sample.connections) == wanted]
    return sorted(chosen, key=lambda sample: sample.round)
