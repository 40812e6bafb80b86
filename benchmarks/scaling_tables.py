"""Tables of simulated autoscaling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from benchmarks.scaling_cases import BEHIND, DEFAULT, OURS, SIZED, Sample, Side
from benchmarks.tables import Table

TUNED = "Ray, best of all tried"
OTHER = "Stowage, other headroom"
STEP_SIDES = (OURS, DEFAULT, SIZED, BEHIND)


def of(samples: Iterable[Sample], case: str, side: str) -> list[Sample]:
    """Those of a case, or of all its seeds."""
    return [
        each for each in samples if each.side == side and (each.case == case or each.case.startswith(f"{case} "))
    ]


def step_table(samples: Sequence[Sample], steps: Sequence[str], sides: Sequence[Side] = STEP_SIDES) -> Table:
    """Each step with each policy, the means over seeds."""
    rows = []
    for step in steps:
        label = "20 s, and 60 s for a node beyond the fourth" if step == "nodes" else f"{step.split()[1]} s"
        ours = of(samples, step, OURS.name)
        rows += [_step_row(f"{label}: {side.name}", of(samples, step, side.name), ours) for side in sides]
    headers = ("cold start", "recovery", "Stowage's / it", "replica-seconds", "Stowage's / it", "in time", "most")
    return Table("A 4-fold step, by the time of a cold start", headers, tuple(rows))


def _step_row(label: str, samples: Sequence[Sample], ours: Sequence[Sample]) -> tuple[str, ...]:
    recovery_s, cost = fmean(_recoveries(samples)), fmean(each.replica_seconds for each in samples)
    return (
        label,
        f"{recovery_s:.0f} s",
        f"{fmean(_recoveries(ours)) / recovery_s:.2f}" if recovery_s else "-",
        f"{cost:,.0f}",
        f"{fmean(each.replica_seconds for each in ours) / cost:.2f}",
        f"{fmean(each.attainment for each in samples):.1%}",
        f"{max(each.most_replicas for each in samples)}",
    )


def _recoveries(samples: Iterable[Sample]) -> list[float]:
    return [each.recovery_s for each in samples if each.recovery_s is not None]


def trace_table(samples: Sequence[Sample], traces: Sequence[str], tuned: Mapping[str, Sample]) -> Table:
    """Each trace with each policy; ``tuned`` has the best of Ray's for each."""
    rows = []
    for trace in traces:
        ours, *others = (_exact(samples, trace, side.name) for side in (OURS, DEFAULT, SIZED))
        rows += [_trace_row(each, ours) for each in (ours, *others, tuned[trace])]
    headers = ("trace", "in time", "replica-seconds", "mean replicas", "Stowage's / it", "changes", "most")
    return Table("Whole traces", headers, tuple(rows))


def _trace_row(sample: Sample, ours: Sample) -> tuple[str, ...]:
    return (
        f"{sample.case}: {sample.side}",
        f"{sample.attainment:.2%}",
        f"{sample.replica_seconds:,.0f}",
        f"{sample.replica_seconds / sample.length_s:.2f}",
        f"{ours.replica_seconds / sample.replica_seconds:.2f}",
        f"{sample.num_changes}",
        f"{sample.most_replicas}",
    )


def _exact(samples: Iterable[Sample], case: str, side: str) -> Sample:
    (found,) = (each for each in samples if (each.case, each.side) == (case, side))
    return found


def headroom_table(samples: Sequence[Sample]) -> Table:
    """What another headroom would do."""
    rows = tuple(
        (
            each.setting,
            f"{each.attainment:.2%}",
            f"{each.replica_seconds / each.length_s:.2f}",
            f"{each.num_changes}",
        )
        for each in samples
        if each.side == OTHER
    )
    return Table("Conv, by headroom", ("", "in time", "mean replicas", "changes"), rows)
