"""What Stowage's router costs: in front of a model that computes nothing, beside Ray's own no-op chain."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.noop import REQUEST_BODY
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, Server, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Metrics, Pair, Table, medians, ratios
from benchmarks.wrk import Wrk

CONNECTIONS = (1, 8, 32)
PATHS = {"stowage": "/v2/models/noop/infer", "chain": "/chain/infer"}
PORT = 8101
CLAIM = (
    "What the router costs. `stowage`: an infer call of the Open Inference Protocol through Stowage's router, to "
    "a model that answers with a constant. `chain`: the least that two Ray Serve deployments can do."
)

_WARM_UP_S = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. A pass starts every setting's Ray instance once; a round measures both targets."""

    settings: tuple[str, ...] = ("ray", "one-loop", "stowage", "haproxy")
    num_passes: int = 2
    num_rounds: int = 2
    window_s: int = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One window. ``cpu_ms`` is of all processes of the Ray instance, per request."""

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


def run(plan: Plan) -> Record:
    """Measure and say what came out. Takes about 25 s for each setting and pass, and the windows."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as folder:
        samples = list(measure(plan, Wrk(REQUEST_BODY, Path(folder)), Path(folder)))
    return Record("router-overhead", CLAIM, method(plan), tables(samples, plan), samples, machine)


def method(plan: Plan) -> list[str]:
    """How it was measured, for the record."""
    rounds = f"{plan.num_passes} passes x {plan.num_rounds} rounds"
    return [
        f"Targets: both in one Ray instance, in turn, {plan.window_s} s each; {rounds}",
        "CPU: all processes of the Ray instance; over idle: without what they use when nobody calls",
    ]


def measure(plan: Plan, wrk: Wrk, folder: Path) -> Iterator[Sample]:
    """All windows, the settings interleaved by pass and the targets by round."""
    for number, setting in product(range(plan.num_passes), plan.settings):
        print(f"pass {number + 1} of {plan.num_passes}: {setting}", flush=True)
        with running_serve(ROOT / "benchmarks/noop.yaml", PORT, SETTINGS[setting], folder) as server:
            for path in PATHS.values():
                wrk.run(server.base_url + path, max(CONNECTIONS), _WARM_UP_S)
            idle_cores = server.idle_cores()
            for index in range(plan.num_rounds):
                first = number * plan.num_rounds
                yield from _round(server, wrk, plan, setting, first + index, idle_cores)


def _round(server: Server, wrk: Wrk, plan: Plan, setting: str, number: int, idle_cores: float) -> Iterator[Sample]:
    # The first of two is at a disadvantage if the machine speeds up, so the order alternates.
    targets = list(PATHS) if number % 2 == 0 else list(reversed(PATHS))
    for connections, target in product(CONNECTIONS, targets):
        cpu_before_s = server.cpu_s()
        report = wrk.run(server.base_url + PATHS[target], connections, plan.window_s)
        cpu_s = server.cpu_s() - cpu_before_s
        yield Sample(
            setting=setting,
            round=number,
            target=target,
            connections=connections,
            requests_per_s=report.requests_per_s,
            latency_p50_ms=1e3 * report.latency_p50_s,
            latency_p99_ms=1e3 * report.latency_p99_s,
            cpu_ms=1e3 * cpu_s / report.num_requests,
            idle_cores=idle_cores,
        )


def tables(samples: Sequence[Sample], plan: Plan) -> list[Table]:
    """Router against chain, settings against each other, and all medians."""
    base = plan.settings[0]
    overhead: list[Pair[Sample]] = []
    settings: list[Pair[Sample]] = []
    absolute: dict[str, Sequence[Sample]] = {}
    for setting, connections in product(plan.settings, CONNECTIONS):
        label = f"{setting}, {connections} connections"
        ours, theirs = (_select(samples, setting, target, connections) for target in PATHS)
        overhead.append(Pair(label, ours, theirs))
        if setting != base:
            settings.append(Pair(label, ours, _select(samples, base, "stowage", connections)))
        absolute |= {f"{label}, stowage": ours, f"{label}, chain": theirs}
    return [
        ratios("Stowage / chain, medians of rounds (lowest-highest)", overhead, METRICS),
        ratios(f"Stowage / Stowage with the setting `{base}`", settings, METRICS),
        medians("Medians, for orientation only; times in ms", absolute, METRICS),
    ]


def _select(samples: Sequence[Sample], setting: str, target: str, connections: int) -> list[Sample]:
    wanted = (setting, target, connections)
    chosen = [sample for sample in samples if (sample.setting, sample.target, sample.connections) == wanted]
    return sorted(chosen, key=lambda sample: sample.round)


def main() -> None:
    """Run it as the command line says and keep the result."""
    standard = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=standard.settings)
    parser.add_argument("--passes", type=int, default=standard.num_passes)
    parser.add_argument("--rounds", type=int, default=standard.num_rounds)
    parser.add_argument("--window-s", type=int, default=standard.window_s)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    plan = Plan(tuple(args.settings), args.passes, args.rounds, args.window_s)
    keep(lambda: run(plan), args.results)


if __name__ == "__main__":
    main()
