"""Run all benchmarks, one after the other: ``python -m benchmarks``."""

from __future__ import annotations

from benchmarks import router_overhead, runtime_overhead, token_throughput
from benchmarks.record import save


def main() -> None:
    """Keep each result as soon as it is there."""
    print(save(router_overhead.run(router_overhead.Plan())))
    print(save(token_throughput.run(token_throughput.Plan())))
    print(save(runtime_overhead.run()))


if __name__ == "__main__":
    main()
