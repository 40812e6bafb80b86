"""The start of a replica that is a group of ranks: this process leads, a worker in each further bundle follows.

It has phases, through which all ranks go together: they arrive (which brings the model onto their nodes), take
their GPUs, look around (``models.parallel.preflight``), join, load. What hinders a rank is told with its name.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from functools import partial

from deployments.args import ModelArgs
from deployments.group.phases import Patience, Phase
from deployments.group.workers import Worker
from deployments.group_diary import Diary, this_diary
from deployments.group_lead import Group, leave
from deployments.rank_process import Arrival, RankProcess
from deployments.rank_worker import make_worker
from models.engines.base import GroupLeader
from models.engines.heap import keep_freed_blocks
from models.errors import GroupError
from models.hardware import SLOW_DISK_BYTES_PER_S
from models.memory.group_plan import GroupPlan
from models.memory.plan import MemoryPlan
from models.parallel.rendezvous import Meeting, MeetingPoint
from models.parallel.report import RankReport, judge
from models.parallel.stall import StallWatch

logger = logging.getLogger("ray.serve")

_JOIN_S = 60.0
# For each of the checks that have a bound. Less than the patience with ranks that get on with nothing.
_CHECK_S = 30.0
# To bring a model onto a node takes as long as it takes; but a rank that gets on with nothing for so long, while
# files are hashed or merged without a word, will not come.
_ARRIVE_S = 1800.0


class GroupStart:
    """Makes the workers; ``run`` leads all ranks through the phases."""

    def __init__(self, args: ModelArgs, plan: MemoryPlan, group: GroupPlan) -> None:
        self._args = args
        self._process = RankProcess(args, plan, group, 0)
        self._workers = [make_worker(args, plan, group, rank) for rank in range(1, group.num_ranks)]
        self._patience = Patience(self._workers, self._process.pulse.snapshot)
        self._point: MeetingPoint | None = None

    def run(self) -> Group:
        """Blocks until all ranks are ready. GroupError, or what a rank raises; no worker is left behind then."""
        began = time.monotonic()
        diary = this_diary()
        try:
            before = diary.begin()
            if before is not None:
                logger.warning("%s: the last group failed: %s", self._args.id, before.cause)
            arrivals = self._arrive()
            self._check_stages(arrivals)
            self._take_gpus(arrivals)
            self._look_around(arrivals)
            point = self._point = MeetingPoint(self._process.host)
            self._join(point.meeting)
            engine = self._load()
            logger.info("%s: all ranks are ready after %.1f s.", self._args.id, time.monotonic() - began)
            named = [Worker(each.rank, each.actor, arrivals[each.rank].node) for each in self._workers]
            return Group(self._process, engine, point, named, self._args.stall_timeout_s, diary)
        except BaseException:
            self._undo(diary)
            raise

    def _arrive(self) -> Mapping[int, Arrival]:
        token = secrets.token_bytes(32)
        phase = Phase(
            self._workers,
            lambda worker: worker.arrive.remote(token, _CHECK_S),
            partial(self._process.arrive, token, _CHECK_S),
        )
        arrivals = self._patience.wait_for(phase, StallWatch(_ARRIVE_S, time.monotonic))
        for rank, arrival in sorted(arrivals.items()):
            logger.info("%s: rank %d is on node %s.", self._args.id, rank, arrival.node)
        return arrivals

    def _check_stages(self, arrivals: Mapping[int, Arrival]) -> None:
        """Without places in the plan, Ray may divide the slices of a stage between nodes."""
        layout = self._process.layout
        for stage in range(layout.degree.pipeline):
            ranks = layout.ranks_of(stage)
            nodes = sorted({arrivals[rank].node for rank in ranks})
            if len(nodes) > 1:
                named = ", ".join(map(str, ranks))
                raise GroupError(
                    f"ranks {named} of {self._args.id}, one stage, are on different nodes: {', '.join(nodes)}",
                    remedy="write their places: stowage plan CONFIG --address URL --write CONFIG",
                )

    def _take_gpus(self, arrivals: Mapping[int, Arrival]) -> None:
        """The first rank on each node claims its places in the plan for all ranks there."""
        nodes = [arrivals[rank].node for rank in sorted(arrivals)]
        phase = Phase(
            self._workers,
            lambda worker: worker.claim_gpus.remote(nodes),
            partial(self._process.claim_gpus, nodes),
        )
        claims = self._patience.wait_for(phase, self._stall())
        gpus = {rank: gpu for claimed in claims.values() for rank, gpu in claimed.items()}
        self._patience.wait_for(
            Phase(self._workers, lambda worker: worker.use_gpu.remote(gpus), partial(self._process.use_gpu, gpus)),
            self._stall(),
        )

    def _look_around(self, arrivals: Mapping[int, Arrival]) -> None:
        peers = [arrival.endpoint for arrival in arrivals.values()]
        phase: Phase[RankReport] = Phase(
            self._workers,
            lambda worker: worker.report.remote(peers),
            partial(self._process.report, peers),
        )
        # Another group may hash a file that these ranks wait for, and nobody here knows how far it is.
        largest_bytes = max(file.size_bytes for file in self._process.stored.manifest.files)
        stall = self._patience.watch(phase, self._stall(largest_bytes / SLOW_DISK_BYTES_PER_S))
        nodes = {rank: arrival.node for rank, arrival in arrivals.items()}
        judge(nodes, list(phase.results().values()), stall)

    def _join(self, meeting: Meeting) -> None:
        phase = Phase(
            self._workers,
            lambda worker: worker.join.remote(meeting, _JOIN_S),
            partial(self._process.join, meeting, _JOIN_S),
        )
        self._patience.wait_for(phase, self._stall())

    def _load(self) -> GroupLeader:
        phase: Phase[GroupLeader | None] = Phase(
            self._workers, lambda worker: worker.load.remote(), self._load_engine
        )
        engine = self._patience.wait_for(phase, self._stall())[0]
        if engine is None:
            raise AssertionError("rank 0 has no engine")
        return engine

    def _load_engine(self) -> GroupLeader:
        from models.engines.group_leader import make_leader  # noqa: PLC0415  imports torch

        engine = make_leader(self._process.describe(), self._process.progress, self._process.pulse)
        if self._process.settings.keeps_heap:
            keep_freed_blocks()
        return engine

    def _stall(self, more_s: float = 0.0) -> StallWatch:
        return StallWatch(self._args.stall_timeout_s + _JOIN_S + more_s, time.monotonic)

    def _undo(self, diary: Diary) -> None:
        """Whatever hinders that as well, what has hindered the start is what has to be told."""
        for worker in self._workers:
            worker.end()
        try:
            diary.end()
        except Exception:
            logger.exception("%s: the record of a group that did not start is left.", self._args.id)
        leave(self._point)


def start_group(args: ModelArgs, plan: MemoryPlan, group: GroupPlan) -> Group:
    """Blocks until the group serves. GroupError, or what a rank raises, names the rank and what hinders it."""
    return GroupStart(args, plan, group).run()
