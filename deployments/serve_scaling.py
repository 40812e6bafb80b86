"""The autoscaler of this process, which is Serve's controller, and what it sees of Serve's own account."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from deployments.autoscaler import Autoscaler
from deployments.metrics.scaling import ScalingMetrics
from deployments.scaling.load import ReplicaLoad
from deployments.scaling.replica_stats import Reports, load_stats
from deployments.scaling.scaler import Seen
from deployments.scaling_store import ScalingStore

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext


def target_of(context: AutoscalingContext, arguments: Mapping[str, Any]) -> int:
    """How many replicas the version should have."""
    autoscaler, reports = _parts()
    application = str(context.app_name)
    see_now = partial(see, context, reports.setdefault(application, Reports()), time.monotonic())
    return autoscaler.target(application, arguments, context.target_num_replicas, see_now)


def see(context: AutoscalingContext, reports: Reports, now: float) -> Seen:
    """What Serve tells. ``reports`` are those of the version, ``now`` is by a clock that never goes back."""
    return Seen(
        target=context.target_num_replicas,
        num_ready=context.current_num_replicas,
        least=context.capacity_adjusted_min_replicas,
        most=context.capacity_adjusted_max_replicas,
        replicas=_replicas(context, reports, now),
        num_requests=context.total_num_requests,
    )


@cache
def _parts() -> tuple[Autoscaler, dict[str, Reports]]:
    """Serve makes a policy for each version, and anew at each deployment; what they share has to be somewhere."""
    made = Autoscaler(ScalingStore(), ScalingMetrics())
    made.start()
    return made, {}


def _replicas(context: AutoscalingContext, reports: Reports, now: float) -> tuple[ReplicaLoad, ...]:
    """The newest that each has told."""
    told: dict[str, dict[str, float]] = {}
    told_at: dict[str, float] = {}
    for metric, by_replica in (context.raw_metrics or {}).items():
        for replica, series in by_replica.items():
            if series:
                told.setdefault(replica.unique_id, {})[metric] = series[-1].value
                told_at[replica.unique_id] = series[-1].timestamp
    reports.keep(set(told))
    loads = (load_stats(name, reports.age_s(name, told_at[name], now), each) for name, each in told.items())
    return tuple(load for load in loads if load is not None)
