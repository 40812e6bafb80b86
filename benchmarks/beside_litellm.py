"""What stands between a client and the model: Stowage's router, and LiteLLM's proxy in front of a bare ingress."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from statistics import median

from benchmarks.full_router import bearer, issue_key
from benchmarks.litellm_proxy import DEFAULT_FOLDER, MODEL, install, running_litellm
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Metrics, Pair, Table, medians, ratios
from benchmarks.windows import METRICS, Sample, Target, Windows, select
from benchmarks.wrk import Wrk

CONNECTIONS = (1, 8, 32)
PORTS = {"stowage": 8104, "litellm": 8105}
SETTING = "stowage"
BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1})
CLAIM = (
    "A chat of one token with a model that computes nothing. `stowage`: client, Stowage's router, model. "
    "`litellm`: client, LiteLLM's proxy, bare Ray Serve ingress, model. `bare`: client, that ingress, model. "
    "LiteLLM's way has one HTTP server more because that is how it is deployed; the router stands in the place "
    "of both."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    num_rounds: int = 5
    window_s: int = 3
    litellm: Path = DEFAULT_FOLDER


ADDED: Metrics[tuple[Sample, Sample]] = {
    "p50": lambda pair: pair[0].latency_p50_ms - pair[1].latency_p50_ms,
    "p99": lambda pair: pair[0].latency_p99_ms - pair[1].latency_p99_ms,
    "CPU/request": lambda pair: pair[0].cpu_ms - pair[1].cpu_ms,
}


def run(plan: Plan) -> Record:
    """Measure and say what came out."""
    command = install(plan.litellm)
    machine = this_machine()
    with tempfile.TemporaryDirectory() as folder:
        samples = list(measure(plan, command, Path(folder)))
    return Record("beside-litellm", CLAIM, method(plan), tables(samples), samples, machine)


def method(plan: Plan) -> list[str]:
    """How it was measured, for the record."""
    return [
        f"Load: in turn, {plan.window_s} s each, {plan.num_rounds} rounds; all servers are up, one way is busy",
        "Stowage: one router replica, with an API key and its limits, a route and the audit journal",
        f"LiteLLM {litellm_version(plan.litellm)}: a worker for each core, a master key, no database",
        "Of that follows that it counts neither keys nor limits nor spending, which Stowage does",
        "CPU: all processes on the way, both of LiteLLM and of the Ray instance behind it",
    ]


def litellm_version(folder: Path) -> str:
    """The one that is installed there."""
    paths = [str(path) for path in folder.glob("lib/python*/site-packages")]
    return next(found.version for found in distributions(name="litellm", path=paths))


def measure(plan: Plan, command: Path, folder: Path) -> Iterator[Sample]:
    """All rounds."""
    key = issue_key(folder)
    windows = Windows(Wrk(BODY, folder, bearer(key)), CONNECTIONS, plan.window_s)
    with ExitStack() as stack:
        config = ROOT / "benchmarks/noop_chat.yaml"
        ray = stack.enter_context(running_serve(config, PORTS["stowage"], SETTINGS[SETTING], folder))
        upstream = f"{ray.base_url}/bare/v1"
        litellm = stack.enter_context(running_litellm(command, upstream, key, PORTS["litellm"], folder))
        targets = {
            "stowage": Target(f"{ray.base_url}/v1/chat/completions", (ray,)),
            "litellm": Target(f"{litellm.base_url}/v1/chat/completions", (litellm, ray)),
            "bare": Target(f"{upstream}/chat/completions", (ray,)),
        }
        idle_cores = windows.warm_up(targets)
        for number in range(plan.num_rounds):
            print(f"round {number + 1} of {plan.num_rounds}", flush=True)
            yield from windows.round(SETTING, number, targets, idle_cores)


def tables(samples: Sequence[Sample]) -> list[Table]:
    """Stowage against LiteLLM, what each adds to the bare ingress, and all medians."""
    beside: list[Pair[Sample]] = []
    absolute: dict[str, Sequence[Sample]] = {}
    rows: list[tuple[str, ...]] = []
    for connections in CONNECTIONS:
        label = f"{connections} connections"
        series = {name: select(samples, SETTING, name, connections) for name in ("stowage", "litellm", "bare")}
        beside.append(Pair(label, series["stowage"], series["litellm"]))
        absolute |= {f"{label}, {name}": windows for name, windows in series.items()}
        rows += [_added(label, name, series[name], series["bare"]) for name in ("stowage", "litellm")]
    return [
        ratios("Stowage / LiteLLM, medians of rounds (lowest-highest)", beside, METRICS),
        Table("Added to the bare ingress, medians of rounds; in ms", ("", *ADDED), tuple(rows)),
        medians("Medians, for orientation only; times in ms", absolute, METRICS),
    ]


def _added(label: str, name: str, ours: Sequence[Sample], bare: Sequence[Sample]) -> tuple[str, ...]:
    pairs = list(zip(ours, bare, strict=True))
    return (f"{label}, {name}", *(f"{median(map(added, pairs)):.2f}" for added in ADDED.values()))


def main() -> None:
    """Run it as the command line says and keep the result."""
    standard = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=standard.num_rounds)
    parser.add_argument("--window-s", type=int, default=standard.window_s)
    parser.add_argument(
        "--litellm", type=Path, default=standard.litellm, help="where LiteLLM is or will be installed"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(Plan(args.rounds, args.window_s, args.litellm)), args.results)


if __name__ == "__main__":
    main()
