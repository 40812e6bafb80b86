"""Pictures of simulated autoscaling, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.scaling_cases import Run, Sample

FOLDER = Path(__file__).parents[1] / "docs" / "images"

_COLOURS = ("#0b6e4f", "#c44536", "#e09f3e", "#5b6c8f")
_COUNTS = (4, 5, 6, 8, 10, 15, 20, 30)
_SECONDS = (0.3, 1, 3, 10, 30)
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "stowage",  # the same picture is the same file
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}


def draw_runs(runs: Mapping[str, Run], path: Path, start_s: float, end_s: float) -> None:
    """Arrivals, replicas that take resources, and the 95th percentile of times to the first token, over time."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.6, 6.0), layout="constrained")
        rates, replicas, waits = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2, 2))
        trace = next(iter(runs.values())).case.trace
        _draw_rates(rates, [each.at for each in trace.requests], start_s, end_s)
        for (name, run), colour in zip(runs.items(), _COLOURS, strict=False):
            ends = [*(each.at for each in run.moments[1:]), run.sample.length_s]
            times = [run.moments[0].at, *ends]
            taken = [each.num_taken for each in run.moments]
            replicas.step(
                [at - start_s for at in times], [taken[0], *taken], color=colour, label=name, linewidth=1.4
            )
            _draw_waits(waits, run, colour, start_s, end_s)
        _label(rates, "requests/s")
        _label(replicas, "replicas")
        waits.set_ylabel("first token, s")
        waits.set_yscale("log")
        waits.set_yticks(_SECONDS, [f"{seconds:g}" for seconds in _SECONDS])
        waits.minorticks_off()
        waits.set_xlabel("seconds")
        waits.set_xlim(0, end_s - start_s)
        figure.align_ylabels()
        figure.legend(*replicas.get_legend_handles_labels(), loc="outside upper left", ncols=3)
        figure.savefig(path, metadata={"Date": None})


def draw_costs(ours: Sequence[Sample], rays: Sequence[Sample], path: Path) -> None:
    """What each setting costs, and how many requests it serves in time; of the same trace."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.6, 3.8), layout="constrained")
        axes = figure.subplots()
        for samples, colour, marker, name in (
            (rays, _COLOURS[1], ".", "Ray's policy, each combination tried"),
            (ours, _COLOURS[0], "o", "Stowage, headroom 1 to 3"),
        ):
            axes.plot(
                [each.replica_seconds / each.length_s for each in samples],
                [100 * each.attainment for each in samples],
                marker,
                color=colour,
                label=name,
                alpha=0.8,
            )
        axes.axhline(99, color="#888888", linewidth=0.8)
        axes.set_ylim(90, 100.2)
        axes.set_xscale("log")
        axes.set_xticks(_COUNTS, [str(count) for count in _COUNTS])
        axes.minorticks_off()
        axes.set_xlabel("replicas on the average")
        axes.set_ylabel("requests in time, %")
        axes.legend(loc="lower right")
        figure.savefig(path, metadata={"Date": None})


def _draw_rates(axes: Axes, arrivals: Sequence[float], start_s: float, end_s: float) -> None:
    width_s = max(5.0, (end_s - start_s) / 100)
    number = int((end_s - start_s) / width_s)
    counts = [0] * number
    for at in arrivals:
        index = int((at - start_s) // width_s)
        if 0 <= index < number:
            counts[index] += 1
    axes.fill_between(
        [index * width_s for index in range(number)],
        [each / width_s for each in counts],
        step="post",
        color="#b7c4d6",
    )


def _draw_waits(axes: Axes, run: Run, colour: str, start_s: float, end_s: float, width_s: float = 10.0) -> None:
    slices: list[list[float]] = [[] for _ in range(int((end_s - start_s) / width_s))]
    for job in run.jobs:
        index = int((job.arrived - start_s) // width_s)
        if 0 <= index < len(slices):
            slices[index].append(job.first_token - job.arrived)
    known = [
        (index * width_s, sorted(each)[int(0.95 * (len(each) - 1))]) for index, each in enumerate(slices) if each
    ]
    axes.plot([at for at, _ in known], [wait for _, wait in known], color=colour, linewidth=1.2)


def _label(axes: Axes, words: str) -> None:
    axes.set_ylabel(words)
    axes.set_ylim(bottom=0)
