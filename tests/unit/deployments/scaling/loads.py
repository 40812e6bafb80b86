"""Loads and settings for tests."""

from __future__ import annotations

from deployments.scaling.load import BatchUse, Load, ReplicaLoad, RouterLoad, TokenUse
from deployments.scaling.settings import Kind, ScalingSettings

# A Wednesday, 12:00 UTC.
NOON = 1_700_049_600.0


def settings(kind: Kind = Kind.GENERATION, **changes: object) -> ScalingSettings:
    plain: dict[str, object] = {"min_replicas": 0, "max_replicas": 20, "max_num_seqs": 16, "max_tokens": 40_000}
    return ScalingSettings(kind, **{**plain, **changes})  # type: ignore[arg-type]


def generating(name: str = "a", **changes: object) -> ReplicaLoad:
    """Eight requests of 500 tokens, of four seconds each."""
    plain: dict[str, object] = {
        "age_s": 1.0,
        "num_running": 8,
        "num_waiting": 0,
        "max_num_seqs": 16,
        "finished_per_s": 2.0,
        "service_s": 4.0,
        "tokens": TokenUse(held_tokens=4000, max_tokens=40_000),
    }
    return ReplicaLoad(name, **{**plain, **changes})  # type: ignore[arg-type]


def batching(name: str = "a", **changes: object) -> ReplicaLoad:
    """Batches of up to 32 that take 10 ms and 5 ms for each item."""
    plain: dict[str, object] = {
        "age_s": 1.0,
        "num_running": 4,
        "num_waiting": 0,
        "max_num_seqs": 32,
        "finished_per_s": 50.0,
        "service_s": 0.1,
        "batches": BatchUse(busy_share=0.4, queue_s=0.03, batch_base_s=0.01, batch_item_s=0.005),
    }
    return ReplicaLoad(name, **{**plain, **changes})  # type: ignore[arg-type]


def load(*replicas: ReplicaLoad, now: float = NOON, **changes: object) -> Load:
    plain: dict[str, object] = {
        "target": len(replicas),
        "num_ready": len(replicas),
        "cold_start_s": 20.0,
        "idle_s": 0.0,
        "routers": RouterLoad(age_s=1.0),
    }
    return Load(now, replicas=replicas, **{**plain, **changes})  # type: ignore[arg-type]
