"""Run all benchmarks, one after the other: ``python -m benchmarks``."""

from __future__ import annotations

from benchmarks import router_overhead, runtime_overhead, token_throughput
from benchmarks.record import keep


def main() -> None:
    """Keep each result as soon as it is there."""
    keep(lambda: router_overhead.run(router_overhead.Plan()))
    keep(lambda: token_throughput.run(token_throughput.Plan()))
    keep(runtime_overhead.run)


if __name__ == "__main__":
    main()
