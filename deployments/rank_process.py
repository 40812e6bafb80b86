"""What the process of a rank does before its group serves, the leader's as well as a worker's."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ray

import deployments
import models
from deployments.args import ModelArgs
from deployments.devices import assigned_gpu, pin_gpus, share_compute
from deployments.group_places import GroupClaim, GroupPlaces
from deployments.importing import ensure_imported
from deployments.memory_watch import MemoryWatch
from deployments.metrics.group import RankPlace
from deployments.metrics.replica import Replica
from deployments.metrics.start import report_compute_share
from deployments.options import engine_settings
from deployments.own_memory import Watched, watch_own_memory
from deployments.place_ledger import PLACE_WAIT_S, PlaceLedger
from deployments.replica_node import ReplicaNode, reserved_resources, this_node
from deployments.reservation import check_reservation
from models.errors import StoreError
from models.memory.group_plan import GroupPlan, RankPlan
from models.memory.measured import Planned
from models.memory.plan import MemoryPlan
from models.parallel.device_state import DeviceState, cpu_state, cuda_state
from models.parallel.file_check import KnownHashes
from models.parallel.greeting import Endpoint
from models.parallel.preflight import Needs, Preflight, Seat, Surroundings
from models.parallel.pulse import BeatingProgress, ProgressCounter
from models.parallel.rendezvous import Meeting, Member, join_group
from models.parallel.report import RankReport
from models.parallel.versions import library_versions, source_digest
from models.progress import LogProgress
from models.store import StoredModel

if TYPE_CHECKING:
    from models.engines.group import Rank

logger = logging.getLogger("ray.serve")

_CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a rank came to be: its node as plans name it, and where the others of the group greet it."""

    node: str
    endpoint: Endpoint


class RankProcess:
    """One rank of a planned group. Its methods are called once each, in their order."""

    def __init__(self, args: ModelArgs, plan: MemoryPlan, group: GroupPlan, rank: int) -> None:
        self.pulse = ProgressCounter()
        self.plan: RankPlan = group.ranks[rank]
        self.layout = group.layout
        self.settings = engine_settings(args, plan, rank)
        self._args = args
        self._plan = plan
        self._node: ReplicaNode | None = None
        self._claim: GroupClaim | None = None
        self._stored: StoredModel | None = None
        self._preflight: Preflight | None = None
        self._seat = Seat(rank, "", "")

    @property
    def rank(self) -> int:
        return self.plan.rank

    @property
    def progress(self) -> BeatingProgress:
        """Told of what takes long: it is in the log, and the pulse beats with it."""
        return BeatingProgress(LogProgress(logger), self.pulse)

    @property
    def host(self) -> str:
        """The address under which the others reach this rank."""
        return self._seat.host

    @property
    def stored(self) -> StoredModel:
        """The version on this node."""
        if self._stored is None:
            raise StoreError(f"rank {self.rank} of {self._args.id} has not imported it")
        return self._stored

    def arrive(self, token: bytes, check_s: float) -> Arrival:
        """Bring the version onto this node, which may take long, and let peers in. StoreError, GroupError.

        ``check_s`` as ``Preflight`` has it.
        """
        self.pulse.advance("imports the model")
        self._stored = ensure_imported(self._args, self.progress)
        node = this_node()
        check_reservation(self._args, self._plan, reserved_resources(), self.rank)
        self._node = node
        self._seat = Seat(self.rank, node.name, ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
        hashes = KnownHashes(node.folder / "hashes", self.progress)
        surroundings = Surroundings(self._look_at_device, _versions(), hashes)
        self._preflight = Preflight(self._seat, token, check_s, surroundings)
        self.pulse.advance("waits for its peers")
        return Arrival(node.name, self._preflight.endpoint)

    def claim_gpus(self, rank_nodes: Sequence[str]) -> dict[int, int]:
        """The GPU of each rank on this node, by the plan's places; the first of those ranks claims them.

        Nothing where no places are planned, or no GPUs. ConfigError when they are taken.
        """
        if self._node is None or self._plan.device.kind == _CPU or not self._args.placement:
            return {}
        if rank_nodes.index(self._node.name) != self.rank:
            return {}
        places = GroupPlaces(self._args.id, self._args.placement, self.layout.degree)
        ledger = PlaceLedger(self._node.folder / "places" / self._node.node_id)
        self._claim = places.claim(ledger, rank_nodes, self._node.name, PLACE_WAIT_S)
        return self._claim.gpus

    def use_gpu(self, gpus: Mapping[int, int]) -> None:
        """See no other GPU from now on than the claimed one, or the one that Ray has assigned."""
        if self._plan.device.kind == _CPU:
            return
        if self.rank in gpus:
            gpu = pin_gpus([gpus[self.rank]], os.environ)
        else:
            gpu = assigned_gpu(self._args.id, os.environ)
        logger.info("rank %d of %s is on GPU %s.", self.rank, self._args.id, gpu)
        if self._args.compute_share is not None:
            kept = share_compute(self._args.id, self._args.compute_share, os.environ)
            report_compute_share(self._args.id, self._seat.node, gpu, kept=kept)

    def report(self, peers: Sequence[Endpoint]) -> RankReport:
        """What this rank finds of its node, and of the way to its peers. Raises nothing that is a finding."""
        if self._preflight is None:
            raise AssertionError("a rank reports after it has arrived")
        self.pulse.advance("checks its node")
        others = [peer for peer in peers if peer.rank != self.rank]
        needs = Needs(self.plan.budget_bytes, self.stored, self._held_tensors)
        return self._preflight.report(needs, others)

    def join(self, meeting: Meeting, within_s: float) -> None:
        """Become a rank of torch.distributed's group. GroupError within the bound."""
        if self._preflight is not None:
            self._preflight.close()
        self.pulse.advance("joins the group")
        backend = "gloo" if self._plan.device.kind == _CPU else "nccl"
        member = Member(self.rank, self.layout.num_ranks, self.host)
        join_group(meeting, member, backend, within_s, os.environ)

    def describe(self) -> Rank:
        """What the engine of this rank is made from."""
        from models.engines.group import Rank  # noqa: PLC0415  imports torch

        return Rank(self.stored.folder, self.stored.manifest, self.settings, self.layout, self.rank)

    @property
    def place(self) -> RankPlace:
        """What the rank holds, and where."""
        return RankPlace(self.plan.shard, self._seat.node)

    def watch_memory(self, replica: Replica, engine: Callable[[], Mapping[str, int]] = dict) -> MemoryWatch:
        """Watch what this process takes of what is planned for its rank. To be called when it has loaded.

        ``engine`` as ``MemoryMetrics`` has it.
        """
        owner = f"rank {self.rank} of {self._args.id} on node {self._seat.node}"
        planned = Planned(owner, self.plan.terms, self.plan.budget_bytes, self.plan.host_bytes)
        watched = Watched(
            replica=replica,
            version=self._args.id,
            engine=self._plan.engine,
            planned=planned,
            weights=self.stored.folder,
            device=self.settings.device,
            policy=self._args.memory_policy,
            rank=self.rank,
        )
        return watch_own_memory(watched, engine)

    def _look_at_device(self) -> DeviceState:
        if self._plan.device.kind == _CPU:
            return cpu_state(self.stored.folder)
        context_bytes = sum(term.bytes for term in self.plan.terms if term.name == "context")
        return cuda_state(0, self._plan.device.name, context_bytes)

    def _held_tensors(self) -> frozenset[str]:
        """The names of those of the version that this rank has to load."""
        from models.parallel.stage import stored_tensors  # noqa: PLC0415  imports torch

        self.pulse.advance("lists what it has to load")
        return stored_tensors(self.stored.folder, self.stored.manifest, self.plan.shard)


def _versions() -> dict[str, str]:
    packages = [Path(deployments.__path__[0]), Path(models.__path__[0])]
    return {**library_versions(), "stowage": source_digest(packages)}
