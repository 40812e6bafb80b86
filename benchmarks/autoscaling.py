"""Simulate Stowage's autoscaling beside Ray Serve's, on recorded traces and on steps: ``python -m
benchmarks.autoscaling``.

Ray's policy is run as it is, with its own settings, with a target that fits the engine, and with the best
combination of its settings for the very trace on which it is then judged.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import scaling_plots
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.scaling_cases import (
    COLD_STARTS_S,
    DEFAULT,
    OURS,
    SEEDS,
    SIZED,
    TRACES,
    Sample,
    Side,
    run,
    sample_of,
)
from benchmarks.scaling_ray import RaySettings
from benchmarks.scaling_tables import OTHER, STEP_SIDES, TUNED, headroom_table, of, step_table, trace_table

_SHARE = 0.99
_HEADROOMS = (1.0, 1.5, 2.0, 2.5, 3.0)


def grid() -> list[Side]:
    """What is tried of Ray's settings. Its handles report every 2 seconds here, not every 10."""
    targets, ups_s, downs_s, backs_s = (
        (2.0, 6.0, 8.0, 10.0, 12.0, 14.0),
        (0.0, 15.0),
        (60.0, 300.0, 600.0),
        (5.0, 30.0),
    )
    return [
        Side(TUNED, RaySettings(target, up_s, down_s, back_s, metrics_interval_s=2.0))
        for target, up_s, down_s, back_s in itertools.product(targets, ups_s, downs_s, backs_s)
    ]


def best(samples: Iterable[Sample]) -> Sample:
    """The cheapest of those that serve 99% in time; where none does, the one that serves most."""
    return min(samples, key=lambda each: (-min(_SHARE, each.attainment), each.replica_seconds))


def make(traces: Sequence[str], seeds: Sequence[int]) -> Record:
    """All runs, in as many processes as there are cores."""
    machine = this_machine()
    steps = [f"step {cold_start_s:g}" for cold_start_s in COLD_STARTS_S] + ["nodes"]
    jobs = [(f"{step} {seed}", side) for step in steps for seed in seeds for side in STEP_SIDES]
    jobs += [(trace, side) for trace in traces for side in (OURS, DEFAULT, SIZED, *grid())]
    jobs += [("conv", Side(OTHER, headroom=headroom)) for headroom in _HEADROOMS]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        samples = list(processes.map(sample_of, *zip(*jobs, strict=True), chunksize=4))
    tuned = {trace: best(of(samples, trace, TUNED)) for trace in traces}
    return Record(
        name="autoscaling",
        claim=(
            "How many replicas Stowage's policy and Ray Serve's own take for the same requests, how many of these "
            "are served in time, and how soon after a 4-fold step they are so again. Simulated, seeded."
        ),
        method=[" ".join(part.split()) for part in _METHOD.strip().split("\n\n")],
        tables=[step_table(samples, steps), trace_table(samples, traces, tuned), headroom_table(samples)],
        samples=samples,
        machine=machine,
    )


_METHOD = """
Both policies are the real code: `deployments.scaling.decide`, and `DeploymentAutoscalingState` of Ray Serve,
with its aggregation, delays and bounds, fed with what its handles would report and a simulated clock

Replicas are simulated step by step (`benchmarks/scaling_engine.py`): 16 places, 24,000 tokens of KV cache,
steps of 28 ms and 0.3 ms a sequence and 0.125 ms a prompt token, chunks of 512; for mooncake 200,000 tokens, 15
ms, 0.4 ms, 0.06 ms, 2048. The router lets 1.25 times the places through. Cold starts of 20 s (+-10%) where
nothing else is said

In time: the first token within 2 s (mooncake: 10 s) and 0.5 ms for each token of the prompt, the others on the
average 0.1 s apart (0.2 s). Nobody is refused, so that all policies serve the same requests

Replica-seconds count from the order of a replica to the end of its draining

Recovery: the first second after the step from which on, for a minute, of the requests of each 10 seconds 95%
have their first token in time. The step is from 3 to 12 requests a second, with the lengths of conv; means of
seeds

*Ray, its defaults*: 2 ongoing requests a replica, delays of 30 s and 600 s, 30 s of look-back, handles report
every 10 s. *target 12*: the same with three quarters of the places as the target. *best of all tried*: of 72
combinations the cheapest that serves 99% of this very trace in time, else the one that serves most; its handles
report every 2 s

Stowage has the same constants and settings in all rows; its headroom and what counts as a step were chosen on the
first half of conv, its formulae while looking at all traces
"""


def draw(record: Record, folder: Path) -> None:
    """The pictures of ``docs/autoscaling.md``, of the same runs."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = [each for each in record.samples if isinstance(each, Sample)]
    conv = of(samples, "conv", TUNED)
    settings = next(side for side in grid() if str(side.ray) == best(conv).setting)
    sides = {"Stowage": OURS, "Ray, target 12": SIZED, "Ray, tuned for conv": settings}
    steps = {name: run("step 20 1", side) for name, side in sides.items()}
    scaling_plots.draw_runs(steps, folder / "autoscaling-step.svg", 240, 540)
    convs = {name: run("conv", side) for name, side in sides.items()}
    scaling_plots.draw_runs(convs, folder / "autoscaling-conv.svg", 0, 3500)
    ours = [each for each in samples if each.side == OTHER]
    scaling_plots.draw_costs(ours, conv, folder / "autoscaling-cost.svg")


def make_and_draw(traces: Sequence[str], seeds: Sequence[int], folder: Path = scaling_plots.FOLDER) -> Record:
    """The pictures are of conv: without it there are none."""
    record = make(traces, seeds)
    if "conv" in traces:
        draw(record, folder)
    return record


def main() -> None:
    """Run it, keep the result, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", nargs="+", choices=TRACES, default=list(TRACES))
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of each step")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--images", type=Path, default=scaling_plots.FOLDER)
    args = parser.parse_args()

    seeds = list(SEEDS)[: args.seeds]
    keep(lambda: make_and_draw(args.traces, seeds, args.images), args.results)


if __name__ == "__main__":
    main()
