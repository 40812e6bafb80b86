"""What Stowage's router costs: in front of a model that computes nothing, beside Ray's own no-op chain."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.full_router import bearer, issue_key
from benchmarks.noop import REQUEST_BODY
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Pair, Table, medians, ratios
from benchmarks.windows import METRICS, Sample, Target, Windows, select
from benchmarks.wrk import Wrk

CONNECTIONS = (1, 8, 32)
PATHS = {
    "stowage": "/v2/models/noop/infer",
    "without keys": "/open/v2/models/noop/infer",
    "chain": "/chain/infer",
}
PORT = 8101
CLAIM = (
    "What the router costs. `stowage`: an infer call of the Open Inference Protocol through Stowage's router, "
    "with an API key and its limits, a route and the audit journal, to a model that answers with a constant. "
    "`without keys`: the same without key and limits. `chain`: the least that two Ray Serve deployments can do."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. A pass starts every setting's Ray instance once; a round measures every target."""

    settings: tuple[str, ...] = ("ray", "one-loop", "log-buffer", "grpc", "stowage")
    num_passes: int = 2
    num_rounds: int = 2
    window_s: int = 2
    connections: tuple[int, ...] = CONNECTIONS


def run(plan: Plan) -> Record:
    """Measure and say what came out. Takes about 25 s for each setting and pass, and the windows."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as folder:
        samples = list(measure(plan, Path(folder)))
    return Record("router-overhead", CLAIM, method(plan), tables(samples, plan), samples, machine)


def method(plan: Plan) -> list[str]:
    """How it was measured, for the record."""
    rounds = f"{plan.num_passes} passes x {plan.num_rounds} rounds"
    return [
        f"Targets: all in one Ray instance, in turn, {plan.window_s} s each; {rounds}",
        "CPU: all processes of the Ray instance; over idle: without what they use when nobody calls",
    ]


def measure(plan: Plan, folder: Path) -> Iterator[Sample]:
    """All windows, the settings interleaved by pass and the targets by round."""
    windows = Windows(Wrk(REQUEST_BODY, folder, bearer(issue_key(folder))), plan.connections, plan.window_s)
    for number, setting in product(range(plan.num_passes), plan.settings):
        print(f"pass {number + 1} of {plan.num_passes}: {setting}", flush=True)
        with running_serve(ROOT / "benchmarks/noop.yaml", PORT, SETTINGS[setting], folder) as server:
            targets = {name: Target(server.base_url + path, (server,)) for name, path in PATHS.items()}
            idle_cores = windows.warm_up(targets)
            for index in range(plan.num_rounds):
                yield from windows.round(setting, number * plan.num_rounds + index, targets, idle_cores)


def tables(samples: Sequence[Sample], plan: Plan) -> list[Table]:
    """Router against chain, with keys against without, both with each setting against the first, all medians."""
    base = plan.settings[0]
    overhead: list[Pair[Sample]] = []
    keys: list[Pair[Sample]] = []
    settings: list[Pair[Sample]] = []
    absolute: dict[str, Sequence[Sample]] = {}
    for setting, connections in product(plan.settings, plan.connections):
        label = f"{setting}, {connections} connections"
        series = {target: select(samples, setting, target, connections) for target in PATHS}
        overhead.append(Pair(label, series["stowage"], series["chain"]))
        keys.append(Pair(label, series["stowage"], series["without keys"]))
        if setting != base:
            before = {target: select(samples, base, target, connections) for target in ("stowage", "chain")}
            settings += [Pair(f"{label}, {target}", series[target], other) for target, other in before.items()]
        absolute |= {f"{label}, {target}": windows for target, windows in series.items()}
    of_settings = ratios(f"Each / the same with the setting `{base}`", settings, METRICS)
    return [
        ratios("Stowage / chain, medians of rounds (lowest-highest)", overhead, METRICS),
        ratios("Stowage / Stowage without keys and limits", keys, METRICS),
        *([of_settings] if settings else []),
        medians("Medians, for orientation only; times in ms", absolute, METRICS),
    ]


def main() -> None:
    """Run it as the command line says and keep the result."""
    standard = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=standard.settings)
    parser.add_argument("--passes", type=int, default=standard.num_passes)
    parser.add_argument("--rounds", type=int, default=standard.num_rounds)
    parser.add_argument("--window-s", type=int, default=standard.window_s)
    parser.add_argument("--connections", nargs="+", type=int, default=standard.connections)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    plan = Plan(tuple(args.settings), args.passes, args.rounds, args.window_s, tuple(args.connections))
    keep(lambda: run(plan), args.results)


if __name__ == "__main__":
    main()
