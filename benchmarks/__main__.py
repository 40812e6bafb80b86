"""Run all benchmarks, one after the other: ``python -m benchmarks``."""

from __future__ import annotations

from benchmarks import (
    autoscaling,
    beside_litellm,
    overload,
    parallel_memory,
    parallel_throughput,
    placement,
    planned_vs_measured,
    pool,
    router_overhead,
    shared_weights,
    streaming,
    token_throughput,
)
from benchmarks.pool_samples import Effort
from benchmarks.record import keep
from benchmarks.scaling_cases import SEEDS, TRACES


def main() -> None:
    """Keep each result as soon as it is there."""
    keep(lambda: router_overhead.run(router_overhead.Plan()))
    keep(lambda: beside_litellm.run(beside_litellm.Plan()))
    keep(lambda: streaming.run(streaming.Plan()))
    keep(lambda: overload.run(overload.Plan()))
    keep(lambda: token_throughput.run(token_throughput.Plan()))
    keep(lambda: planned_vs_measured.run(planned_vs_measured.CASES, num_rounds=3))
    keep(lambda: parallel_throughput.run(list(parallel_throughput.SIDES), parallel_throughput.Effort()))
    keep(lambda: parallel_memory.run(parallel_memory.CASES))
    keep(placement.run)
    keep(lambda: autoscaling.make_and_draw(TRACES, SEEDS))
    keep(shared_weights.run)
    keep(lambda: pool.run(Effort()))  # the last: it sets Ray's environment for this process


if __name__ == "__main__":
    main()
