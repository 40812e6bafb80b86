"""Ray Serve's own autoscaler, its code and not a copy, on a simulated cluster: only the clock is ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from ray.serve import autoscaling_policy
from ray.serve._private import autoscaling_state
from ray.serve._private.autoscaling_state import DeploymentAutoscalingState
from ray.serve._private.common import (
    RUNNING_REQUESTS_KEY,
    DeploymentHandleSource,
    DeploymentID,
    HandleMetricReport,
    ReplicaID,
    TimeSeries,
    TimeStampedValue,
)
from ray.serve._private.config import DeploymentConfig, ReplicaConfig
from ray.serve._private.deployment_info import DeploymentInfo
from ray.serve.config import AutoscalingConfig

from benchmarks.scaling_cluster import Cluster

_ID = DeploymentID("Model", "model@1")
_RECORD_FACTOR = 0.2  # RAY_SERVE_AUTOSCALING_METRIC_RECORD_INTERVAL_FACTOR


@dataclass(frozen=True, slots=True)
class RaySettings:
    """Of ``autoscaling_config``, with Ray's own defaults.

    ``sees_queue``: whether requests wait in Serve's handle, where its autoscaler counts them, or in our router,
    where it counts those that are let through alone.
    """

    target_ongoing_requests: float = 2.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    look_back_period_s: float = 30.0
    metrics_interval_s: float = 10.0
    min_replicas: int = 1
    sees_queue: bool = True


class _Clock:
    """Stands for the module ``time`` in Ray's."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class RayPolicy:
    """What Serve's handle counts and pushes, and its controller decides, bounds and delays included."""

    def __init__(self, settings: RaySettings, max_replicas: int, num_replicas: int) -> None:
        self._settings = settings
        self._clock = _Clock()
        self._state = DeploymentAutoscalingState(_ID)
        self._queued: TimeSeries = []
        self._running: dict[int, TimeSeries] = {}
        self._recorded = self._pushed = float("-inf")
        with warnings.catch_warnings():  # metrics_interval_s is to become an environment variable
            warnings.simplefilter("ignore")
            config = AutoscalingConfig(
                min_replicas=settings.min_replicas,
                initial_replicas=num_replicas,
                max_replicas=max_replicas,
                target_ongoing_requests=settings.target_ongoing_requests,
                upscale_delay_s=settings.upscale_delay_s,
                downscale_delay_s=settings.downscale_delay_s,
                look_back_period_s=settings.look_back_period_s,
                metrics_interval_s=settings.metrics_interval_s,
            )
            info = DeploymentInfo(
                deployment_config=DeploymentConfig(autoscaling_config=config),
                replica_config=ReplicaConfig.create(_Model),
                start_time_ms=0,
                deployer_job_id="",
            )
        self._state.register(info, num_replicas)

    def target(self, cluster: Cluster) -> int:
        self._clock.now = cluster.now
        with self._at_our_time():
            self._record(cluster)
            ready = [ReplicaID(str(each.number), _ID) for each in cluster.ready]
            self._state.update_running_replica_ids(ready)
            return int(self._state.get_decision_num_replicas(cluster.desired))

    @contextmanager
    def _at_our_time(self) -> Iterator[None]:
        with (
            patch.object(autoscaling_state, "time", self._clock),
            patch.object(autoscaling_policy, "time", self._clock),
        ):
            yield

    def _record(self, cluster: Cluster) -> None:
        """As ``RouterMetricsManager`` does, with a push at once of what waits for the first replica."""
        now, settings = cluster.now, self._settings
        interval_s = min(_RECORD_FACTOR * settings.look_back_period_s, settings.metrics_interval_s)
        if now >= self._recorded + interval_s:
            self._recorded = now
            self._sample(cluster)
        is_waking = not cluster.ready and cluster.queue
        if is_waking:
            self._queued.append(TimeStampedValue(now, self._num_queued(cluster)))
        if is_waking or now >= self._pushed + settings.metrics_interval_s:
            self._pushed = now
            self._push(cluster)

    def _sample(self, cluster: Cluster) -> None:
        now, since = cluster.now, cluster.now - self._settings.look_back_period_s
        self._queued = [*_from(self._queued, since), TimeStampedValue(now, self._num_queued(cluster))]
        running = {each.number: float(each.engine.num_jobs) for each in cluster.replicas if each.ready <= now}
        self._running = {
            number: [*_from(self._running.get(number, []), since), TimeStampedValue(now, num_jobs)]
            for number, num_jobs in running.items()
        }

    def _num_queued(self, cluster: Cluster) -> float:
        """Of a model that sleeps our router sends on one request, whose waiting wakes it."""
        if self._settings.sees_queue:
            return float(len(cluster.queue))
        return float(bool(cluster.queue) and not cluster.ready)

    def _push(self, cluster: Cluster) -> None:
        self._state.record_request_metrics_for_handle(
            HandleMetricReport(
                deployment_id=_ID,
                handle_id="handle",
                actor_id="router",
                handle_source=DeploymentHandleSource.REPLICA,
                queued_requests=list(self._queued),
                metrics={
                    RUNNING_REQUESTS_KEY: {
                        ReplicaID(str(number), _ID).to_full_id_str(): list(series)
                        for number, series in self._running.items()
                    }
                },
                timestamp=cluster.now,
            )
        )


class _Model:
    """Stands for a deployment; never made."""


def _from(series: TimeSeries, since: float) -> TimeSeries:
    return [each for each in series if each.timestamp >= since]
