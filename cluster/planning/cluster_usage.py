"""How much of a cluster a placement takes, and what the cluster costs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.planning.bars import Bar, NodeBars
from models.memory.plan import format_bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """Of bars of one kind: how many hold something, and their bytes in sum."""

    num_bars: int
    num_used: int
    used_bytes: int
    capacity_bytes: int

    @property
    def percent(self) -> int:
        """Rounded down: what is not full is never 100."""
        return self.used_bytes * 100 // self.capacity_bytes if self.capacity_bytes else 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Prices per hour in sum: of all nodes, and of those that hold something. ``num_unpriced`` nodes gave none."""

    all_nodes: float
    used_nodes: float
    num_unpriced: int


def gpu_usage(nodes: Sequence[NodeBars]) -> Usage:
    """Of all GPUs together."""
    return _usage(bar for each in nodes for bar in each.bars if bar.index is not None)


def memory_usage(nodes: Sequence[NodeBars]) -> Usage:
    """Of the memory of all nodes together."""
    return _usage(bar for each in nodes for bar in each.bars if bar.index is None)


def hourly_cost(nodes: Sequence[NodeBars]) -> Cost | None:
    """None where no node has a price."""
    priced = [
        (each.node.price_per_hour, each.num_replicas) for each in nodes if each.node.price_per_hour is not None
    ]
    if not priced:
        return None
    used = sum(price for price, num_replicas in priced if num_replicas)
    return Cost(sum(price for price, _ in priced), used, len(nodes) - len(priced))


def _usage(bars: Iterable[Bar]) -> Usage:
    found = list(bars)
    return Usage(
        num_bars=len(found),
        num_used=sum(bool(bar.segments) for bar in found),
        used_bytes=sum(bar.used_bytes for bar in found),
        capacity_bytes=sum(bar.capacity_bytes for bar in found),
    )


def usage_lines(nodes: Sequence[NodeBars]) -> list[str]:
    """Utilisation and cost, a sentence for each."""
    gpus, memory, cost = gpu_usage(nodes), memory_usage(nodes), hourly_cost(nodes)
    lines = [f"GPUs: {_planned(gpus)}, on {gpus.num_used} of {gpus.num_bars}."] if gpus.num_bars else []
    lines.append(f"Node memory: {_planned(memory)}.")
    if cost:
        unpriced = f"; nodes without a price: {cost.num_unpriced}" if cost.num_unpriced else ""
        lines.append(f"Cost per hour: {cost.all_nodes:,.2f}, of nodes in use {cost.used_nodes:,.2f}{unpriced}.")
    return lines


def _planned(usage: Usage) -> str:
    return f"{usage.percent}% of {format_bytes(usage.capacity_bytes)} planned"
