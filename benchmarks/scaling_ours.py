"""Stowage's policy on a simulated cluster: what replicas and routers would tell, as late as they would."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, quantiles

from benchmarks.scaling_cluster import Cluster, Replica
from benchmarks.scaling_engine import Job
from deployments.scaling.decide import decide
from deployments.scaling.decision import Decision
from deployments.scaling.load import Load, ReplicaLoad, RouterLoad, TokenUse
from deployments.scaling.memory import Memory
from deployments.scaling.settings import ScalingSettings


@dataclass(frozen=True, slots=True)
class Reporting:
    """How stale a decision's inputs are.

    Every ``report_s`` routers and replicas tell of themselves, of the last ``window_s`` (routers of arrivals: of
    ``arrivals_window_s``), and a report is read ``delay_s`` later at the earliest. ``cold_start_s``: what is taken
    for the time of a start until one has been measured. ``epoch``: when the simulation begins.
    """

    report_s: float = 1.0
    window_s: float = 10.0
    arrivals_window_s: float = 5.0
    delay_s: float = 0.5
    decide_s: float = 1.0
    cold_start_s: float = 30.0
    epoch: float = 1_700_000_000.0


class OurPolicy:
    """Calls ``decide`` as the adapter does that Serve calls."""

    def __init__(self, settings: ScalingSettings, reporting: Reporting | None = None) -> None:
        self._settings = settings
        self._reporting = reporting or Reporting()
        self._memory = Memory()
        self._decided = float("-inf")
        self._told: deque[tuple[float, RouterLoad, tuple[ReplicaLoad, ...]]] = deque()
        self._counts: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)])
        self._busy_at = 0.0
        self.decisions: list[Decision] = []

    def target(self, cluster: Cluster) -> int:
        self._tell(cluster)
        if cluster.now < self._decided + self._reporting.decide_s:
            return cluster.desired
        self._decided = cluster.now
        decision, self._memory = decide(self._load(cluster), self._settings, self._memory)
        if not self.decisions or self.decisions[-1].target != decision.target:
            self.decisions.append(decision)
        return decision.target

    def _load(self, cluster: Cluster) -> Load:
        now, reporting = cluster.now, self._reporting
        while len(self._told) > 1 and self._told[1][0] + reporting.delay_s <= now:
            self._told.popleft()
        at, routers, replicas = self._told[0]
        living = {str(each.number) for each in cluster.ready}
        started = [start_s for ready, start_s in cluster.starts if ready <= now]
        return Load(
            now=reporting.epoch + now,
            target=cluster.desired,
            num_ready=len(cluster.ready),
            cold_start_s=_start_s(started) if started else reporting.cold_start_s,
            replicas=tuple(replace(each, age_s=now - at) for each in replicas if each.replica in living),
            routers=replace(routers, age_s=now - at),
            idle_s=now - self._busy_at,
        )

    def _tell(self, cluster: Cluster) -> None:
        if cluster.queue or cluster.num_under_way:
            self._busy_at = cluster.now
        if self._told and cluster.now < self._told[-1][0] + self._reporting.report_s:
            return
        replicas = tuple(self._replica(cluster, each) for each in cluster.ready)
        self._told.append((cluster.now, self._routers(cluster), replicas))

    def _routers(self, cluster: Cluster) -> RouterLoad:
        now, window_s = cluster.now, self._reporting.arrivals_window_s
        self._counts.append((now, cluster.num_arrived, cluster.arrived_tokens))
        while len(self._counts) > 2 and self._counts[1][0] <= now - window_s:
            self._counts.popleft()
        since, num_arrived, arrived_tokens = self._counts[0]
        elapsed_s = max(now - since, self._reporting.report_s)
        return RouterLoad(
            age_s=0.0,
            num_under_way=cluster.num_under_way,
            num_waiting=len(cluster.queue),
            waiting_tokens=sum(job.prompt_tokens for job in cluster.queue),
            num_waking=0 if cluster.ready else len(cluster.queue),
            oldest_wait_s=now - cluster.queue[0].arrived if cluster.queue else 0.0,
            arrivals_per_s=(cluster.num_arrived - num_arrived) / elapsed_s,
            arrived_tokens_per_s=(cluster.arrived_tokens - arrived_tokens) / elapsed_s,
            window_s=window_s,
        )

    def _replica(self, cluster: Cluster, replica: Replica) -> ReplicaLoad:
        engine, window_s = replica.engine, self._reporting.window_s
        while replica.finished and replica.finished[0].ended < cluster.now - window_s:
            replica.finished.popleft()
        ended = replica.finished
        return ReplicaLoad(
            replica=str(replica.number),
            age_s=0.0,
            num_running=engine.num_running,
            num_waiting=len(engine.waiting),
            max_num_seqs=engine.model.max_num_seqs,
            finished_per_s=len(ended) / window_s,
            service_s=fmean([job.ended - job.entered for job in ended]) if ended else None,
            tokens=TokenUse(
                held_tokens=engine.held_tokens,
                max_tokens=engine.model.max_tokens,
                waiting_tokens=sum(job.prompt_tokens for job in engine.waiting),
                prompt_tokens=fmean([job.prompt_tokens for job in ended]) if ended else None,
                read_tokens_per_s=_reading_speed(ended),
            ),
        )


def _start_s(started: Sequence[float]) -> float:
    """As ``Starts`` estimates it: three of four of the last ones took no longer."""
    last = sorted(started[-12:])
    return last[math.ceil(0.75 * len(last)) - 1]


def _reading_speed(ended: Sequence[Job]) -> float | None:
    speeds = [job.prompt_tokens / (job.first_token - job.entered) for job in ended]
    return quantiles(speeds, n=10)[-1] if len(speeds) > 1 else None
