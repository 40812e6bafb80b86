"""How well replicas are packed onto GPUs: beside Ray Serve's default, first-fit and the optimum."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil
from pathlib import Path
from random import Random
from statistics import mean
from time import perf_counter

from benchmarks.exact_placement import Optimum, fewest_devices
from benchmarks.other_placements import first_fit, refused_by_ray, serve_spread
from benchmarks.placement_instances import GPU, Family, Instance, make_instance
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.tables import Table
from models.placement.search import place
from models.placement.slots import Placement

CLAIM = (
    "How many GPUs a plan takes, how often all models fit, and how often Ray's own bookkeeping would refuse a "
    "replica that has its place in the plan."
)
METHOD = (
    f"GPUs have {GPU.usable_bytes / 1024**3:.0f} GiB usable; models arrive in random order, and sizes are seeded",
    "exact: a mixed-integer linear program of the same constraints, HiGHS in SciPy",
    "Where its time was up its lower bound counts, and for 64 GPUs the volume: ratios can only look worse for it",
    "Ray Serve: its default. Each replica goes to the next node with enough free in sum over its GPUs",
    "There Ray books the fullest GPU with room; where no single one has it, the replica stays pending",
    "Models of several ranks are not tried with Ray Serve",
    "first-fit: the first GPUs with room, in order of arrival",
    "`replicas`: exact keeps replicas of a model on different nodes, which a plan prefers and the others do not",
)

PACKED = (
    Family("one node", 1, 8, 0.6),
    Family("two nodes", 2, 4, 0.6),
    Family("large models", 2, 4, 0.6, smallest_gib=18),
    Family("replicas", 3, 3, 0.6, most_replicas=3),
    Family("groups", 2, 4, 0.7, num_groups=2),
)
FILLED = (
    *(Family(f"{fill:.0%} full", 2, 4, fill) for fill in (0.8, 0.9, 0.95, 0.98)),
    *(Family(f"{fill:.0%} full, large models", 2, 4, fill, smallest_gib=18) for fill in (0.8, 0.9)),
)
LARGE = (Family("64 GPUs", 8, 8, 0.6), Family("64 GPUs, 97% full", 8, 8, 0.97))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one way to place an instance."""

    num_devices: int
    num_unplaced: int

    @property
    def fits(self) -> bool:
        return self.num_unplaced == 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One instance, placed in every way. ``serve`` is None where there are groups of ranks."""

    family: str
    seed: int
    num_demands: int
    volume: float
    seconds: float
    stowage: Outcome
    first_fit: Outcome
    serve: Outcome | None
    optimum: Optimum | None
    num_refused: int

    @property
    def fewest_devices(self) -> int:
        """The optimum, or a lower bound for it."""
        return self.optimum.num_devices if self.optimum else ceil(self.volume)


def measure(instance: Instance, exact: bool, time_limit_s: float) -> Sample:
    """Place it in every way."""
    demands, nodes, family = instance.demands, instance.nodes, instance.family
    random = Random(instance.seed)  # noqa: S311 - nothing secret
    began = perf_counter()
    planned = place(demands, nodes)
    seconds = perf_counter() - began
    spread = None if family.num_groups else _outcome(serve_spread(demands, nodes, random))
    apart = family.most_replicas > 1
    return Sample(
        family=family.name,
        seed=instance.seed,
        num_demands=len(demands),
        volume=sum(demand.num_ranks * demand.device_bytes for demand in demands) / GPU.usable_bytes,
        seconds=seconds,
        stowage=_outcome(planned),
        first_fit=_outcome(first_fit(demands, nodes)),
        serve=spread,
        optimum=fewest_devices(demands, nodes, apart=apart, time_limit_s=time_limit_s) if exact else None,
        num_refused=0 if family.num_groups else len(refused_by_ray(planned, demands, nodes)),
    )


def run(num_instances: int = 50, time_limit_s: float = 30) -> Record:
    """All families, and the tables."""
    machine = this_machine()
    samples = [*_measure_all((*PACKED, *FILLED), num_instances, time_limit_s), *_measure_large(num_instances)]
    tables = [devices_table(samples), fit_table(samples), refusal_table(samples)]
    versions = {name: version(name) for name in ("ray", "scipy", "numpy")}
    return Record("placement", CLAIM, METHOD, tables, samples, machine, versions=versions)


def _measure_all(families: Sequence[Family], num_instances: int, time_limit_s: float) -> Iterator[Sample]:
    for family in families:
        print(f"{family.name}: {num_instances} instances", flush=True)
        for seed in range(num_instances):
            yield measure(make_instance(family, seed), exact=True, time_limit_s=time_limit_s)


def _measure_large(num_instances: int) -> Iterator[Sample]:
    for family in LARGE:
        print(f"{family.name}: {num_instances} instances", flush=True)
        for seed in range(num_instances):
            yield measure(make_instance(family, seed), exact=False, time_limit_s=0)


def devices_table(samples: Sequence[Sample]) -> Table:
    """GPUs used over the fewest, of the instances that each way places whole."""
    names = [family.name for family in (*PACKED, LARGE[0])]
    rows = tuple(_devices_row(name, [sample for sample in samples if sample.family == name]) for name in names)
    headers = ("", "models' replicas", "lower bound", "Stowage", "fewest", "first-fit", "Ray Serve", "seconds")
    return Table("GPUs used / the fewest there can be: mean (worst)", headers, rows)


def _devices_row(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    proven = sum(sample.optimum.proven for sample in samples if sample.optimum)
    at_fewest = mean(sample.stowage.num_devices == sample.fewest_devices for sample in samples)
    return (
        name,
        f"{mean(sample.num_demands for sample in samples):.0f}",
        f"exact, {proven} of {len(samples)} proven" if samples[0].optimum else "volume",
        _ratio([(sample.stowage, sample.fewest_devices) for sample in samples]),
        f"{at_fewest:.0%}",
        _ratio([(sample.first_fit, sample.fewest_devices) for sample in samples]),
        _ratio([(sample.serve, sample.fewest_devices) for sample in samples if sample.serve]),
        f"{mean(sample.seconds for sample in samples):.2f}",
    )


def _ratio(outcomes: Sequence[tuple[Outcome, int]]) -> str:
    ratios = [outcome.num_devices / fewest for outcome, fewest in outcomes if outcome.fits]
    return f"{mean(ratios):.3f} ({max(ratios):.2f})" if ratios else "-"


def fit_table(samples: Sequence[Sample]) -> Table:
    """How many of the instances are placed whole."""
    names = [family.name for family in (*FILLED, LARGE[1])]
    rows = tuple(_fit_row(name, [sample for sample in samples if sample.family == name]) for name in names)
    return Table(
        "Instances of which every replica is placed", ("", "exact", "Stowage", "first-fit", "Ray Serve"), rows
    )


def _fit_row(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    known = [sample.optimum.fits for sample in samples if sample.optimum]
    undecided = f" ({known.count(None)} undecided)" if None in known else ""
    return (
        name,
        f"{known.count(True)} of {len(samples)}{undecided}" if known else "-",
        *(
            f"{sum(outcome.fits for outcome in outcomes)} of {len(samples)}"
            for outcomes in (
                [sample.stowage for sample in samples],
                [sample.first_fit for sample in samples],
                [sample.serve for sample in samples if sample.serve],
            )
        ),
    )


def refusal_table(samples: Sequence[Sample]) -> Table:
    """What Ray refuses of plans that fit, when each replica asks for its fraction on the node of the plan."""
    names = [family.name for family in (*PACKED, *FILLED, *LARGE) if not family.num_groups]
    rows = tuple(
        _refusal_row(name, [sample for sample in samples if sample.family == name and sample.stowage.fits])
        for name in names
    )
    headers = ("", "plans that fit", "with a refusal", "replicas refused")
    return Table("Refused by Ray although the plan fits, where Ray chooses the GPU by arrival", headers, rows)


def _refusal_row(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    num_demands = sum(sample.num_demands for sample in samples)
    refused = sum(sample.num_refused for sample in samples)
    plans = sum(sample.num_refused > 0 for sample in samples)
    share = f"{refused / num_demands:.1%}" if num_demands else "-"
    return name, str(len(samples)), f"{plans / len(samples):.0%}" if samples else "-", share


def _outcome(placement: Placement) -> Outcome:
    used = {(slot.node, index) for slot in placement.slots.values() for index in slot.devices}
    return Outcome(len(used), len(placement.unplaced))


def main() -> None:
    """Run it and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=50, help="of each kind")
    parser.add_argument(
        "--time-limit", type=float, default=30, help="seconds of the exact solver for each instance"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(args.instances, args.time_limit), args.results)


if __name__ == "__main__":
    main()
