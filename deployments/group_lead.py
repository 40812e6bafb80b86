"""A group of ranks that serves: its leader's side, from the first request to its end, whichever that is."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence

from deployments.group.record import GroupFailure
from deployments.group.vitals import Vitals
from deployments.group.watch import GroupWatch
from deployments.group.workers import Pulses, Runs, Worker
from deployments.group_diary import Diary
from deployments.metrics.group import RankPlace
from deployments.metrics.memory import kv_cache_in_use
from deployments.metrics.replica import this_replica
from deployments.rank_process import RankProcess
from models.engines.base import EngineSettings, GroupLeader
from models.errors import GroupError, ModelUnavailableError
from models.parallel.bounded import bounded
from models.parallel.layout import Shard
from models.parallel.rendezvous import MeetingPoint, leave_group
from models.parallel.stall import StallWatch
from models.store import StoredModel

logger = logging.getLogger("ray.serve")

# Longer than a process that ends takes.
_GONE_S = 60.0
_CLOSE_S = 5.0
_LEAVE_S = 5.0
# What requests of a failed group have to reach their callers before its process ends.
_DRAIN_S = 1.0
# As long as the watch may take to find the cause of what a request has met.
_EXPLAIN_S = 8.0


class Group:
    """Ends as a whole: when a rank fails, its requests get the cause, the workers end, and so does this process.

    Serve then starts another in its place.
    """

    def __init__(
        self,
        process: RankProcess,
        engine: GroupLeader,
        point: MeetingPoint,
        workers: Sequence[Worker],
        stall_timeout_s: float,
        diary: Diary,
    ) -> None:
        self._process = process
        self._engine = engine
        self._point = point
        self._workers = workers
        self._diary = diary
        self._runs = Runs({worker: worker.actor.run.remote() for worker in workers})
        stall = StallWatch(stall_timeout_s, time.monotonic)
        self._watch = GroupWatch(self._runs, Pulses(workers), stall, self, self._fail)
        self._failure: GroupFailure | None = None
        self._failed = threading.Event()
        self._closed = False
        self._memory = process.watch_memory(this_replica(), self._kv_cache_in_use)
        diary.serve([process.place, *(RankPlace(self._shard(worker.rank), worker.node) for worker in workers)])
        self._watch.start()

    @property
    def engine(self) -> GroupLeader:
        return self._engine

    @property
    def stored(self) -> StoredModel:
        return self._process.stored

    @property
    def settings(self) -> EngineSettings:
        return self._process.settings

    def admit(self) -> ModelUnavailableError | None:
        """The answer to new work while a rank is over its budget."""
        return self._watch.refusal()

    async def until_gone(self) -> None:
        """Returns at once while the group serves. New work of a failed one waits for the end of its process, so
        that Serve knows it for gone: refused at once, it would come back again and again."""
        if self._failure is not None:
            await asyncio.sleep(_GONE_S)

    def explain(self, error: Exception) -> Exception:
        """What stands behind a failure of the engine. Blocks while the watch looks for it."""
        self._failed.wait(_EXPLAIN_S)
        return GroupError(self._failure.cause) if self._failure else error

    def vitals(self) -> Vitals:
        return Vitals(self._process.pulse.snapshot(), self._memory.admit(), self._memory.fault())

    def is_busy(self) -> bool:
        stats = self._engine.stats()
        return stats.num_running + stats.num_waiting > 0

    def check(self) -> None:
        """GroupError once it has failed; EngineError when the engine can no longer serve."""
        if self._failure is not None:
            raise GroupError(self._failure.cause)
        self._engine.check()

    def close(self) -> None:
        """End in order; idempotent. The diary ends first, for what follows may hang, or fail."""
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        self._memory.close()
        try:
            self._diary.end()
            self._engine.close()
            self._runs.wait_for_all(_CLOSE_S)
        finally:
            self._end_workers()
            leave(self._point)

    def _fail(self, failure: GroupFailure) -> None:
        self._failure = failure
        self._failed.set()
        logger.error("The group of %s ends: %s", self._process.stored.manifest.id, failure.cause)
        try:
            self._engine.abort(failure.cause)
            self._end_workers()
            self._diary.fail(failure)
            time.sleep(_DRAIN_S)
        finally:
            os._exit(1)  # whatever this process still waits for, it waits for in vain

    def _shard(self, rank: int) -> Shard:
        return self._process.layout.shard(rank)

    def _kv_cache_in_use(self) -> dict[str, int]:
        return kv_cache_in_use(self._process.plan.kv_cache_bytes, self._engine.stats())

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.end()


def leave(point: MeetingPoint | None) -> None:
    """Of a group that has ended, or did not start: its peers are gone."""
    try:
        bounded(leave_group, _LEAVE_S, "leaving the group")
    except Exception:
        logger.exception("What is left of a group that has ended goes with its process.")
    if point is not None:
        point.close()
