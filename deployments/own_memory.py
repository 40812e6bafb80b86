"""The watch that a process keeps over its own memory: a replica's, or that of one rank of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.args import MemoryPolicy
from deployments.memory_watch import MemoryWatch
from deployments.metrics.memory import MemoryMetrics
from deployments.metrics.replica import Replica
from models.engines.meters import make_meter
from models.memory.measured import Planned, compare
from models.spec import EngineName
from models.types import VersionId


@dataclass(frozen=True, slots=True)
class Watched:
    """One process: of which replica, as which ``rank`` of it, and what it is planned at.

    ``weights`` is the folder below which its weight files lie; ``device`` is ``cpu`` or ``cuda:0``.
    """

    replica: Replica
    version: VersionId
    engine: EngineName
    planned: Planned
    weights: Path
    device: str
    policy: MemoryPolicy
    rank: int | None = None


def watch_own_memory(watched: Watched, engine: Callable[[], Mapping[str, int]] = dict) -> MemoryWatch:
    """Started. To be called when all is loaded; ``engine`` as ``MemoryMetrics`` has it."""
    metrics = MemoryMetrics(watched.replica, watched.version, engine, watched.rank)
    meter = make_meter(watched.weights, watched.engine, watched.planned, watched.device)
    ready = meter.read()
    watch = MemoryWatch(
        planned=lambda: watched.planned,
        policy=watched.policy,
        meter=meter,
        compare=lambda terms, now: compare(terms, ready, now),
        report=metrics.report,
    )
    watch.start()
    return watch
