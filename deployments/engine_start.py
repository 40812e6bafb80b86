"""From args and plan to an engine that is ready: on its device, within its budget, one at a time on a GPU."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from deployments.args import ModelArgs
from deployments.devices import assigned_gpu, pin_gpus, share_compute
from deployments.importing import ensure_imported
from deployments.options import engine_settings
from deployments.place_ledger import Claim, PlaceLedger
from deployments.placing import places_on
from deployments.replica_node import ReplicaNode, reserved_resources, this_node
from deployments.reservation import check_reservation
from deployments.start_metrics import StartMetrics, report_compute_share
from models.engines.base import Engine, EngineSettings
from models.engines.heap import keep_freed_blocks
from models.engines.registry import create_engine
from models.memory.plan import MemoryPlan
from models.start_lock import Holder, StartLock
from models.store import StoredModel

logger = logging.getLogger("ray.serve")

# As long as a replica that ends may take to leave its place.
_PLACE_WAIT_S = 25.0


@dataclass(frozen=True, slots=True)
class Started:
    """A ready engine, the version that it serves, and its place, which is to be kept as long as the engine."""

    stored: StoredModel
    settings: EngineSettings
    engine: Engine
    claim: Claim | None = None


def start_engine(args: ModelArgs, plan: MemoryPlan) -> Started:
    """Blocks: for the import, for the engines that start before it on the same GPU, for its own load and warm-up.

    On a CPU nothing is waited for: there no engine sizes itself by what is free. ConfigError when Ray has reserved
    less than was planned, or when the device is not there.
    """
    check_reservation(args, plan, reserved_resources())
    stored = ensure_imported(args)
    settings = engine_settings(args, plan)
    if plan.device.kind == "cpu":
        return Started(stored, settings, _load(plan, stored, settings))
    node = this_node()
    gpu, claim = take_gpu(args, node)
    with turn_on(gpu, args, node):
        return Started(stored, settings, _load(plan, stored, settings), claim)


def take_gpu(args: ModelArgs, node: ReplicaNode) -> tuple[str, Claim | None]:
    """What CUDA calls the GPU that this process is to use, which is from now on the only one that it sees.

    Must come before anything initialises CUDA. Without a placement it is the one that Ray has assigned.
    """
    claim = None
    if args.placement:
        ledger = PlaceLedger(node.folder / "places" / node.node_id)
        claim = ledger.claim(args.id, places_on(args.placement, node.name), _PLACE_WAIT_S)
        gpu = pin_gpus(claim.place.devices, os.environ)
    else:
        gpu = assigned_gpu(args.id, os.environ)
    if args.compute_share is not None:
        kept = share_compute(args.id, args.compute_share, os.environ)
        report_compute_share(args.id, node.name, gpu, kept=kept)
    logger.info("%s is on GPU %s of node %s.", args.id, gpu, node.name)
    return gpu, claim


@contextmanager
def turn_on(gpu: str, args: ModelArgs, node: ReplicaNode) -> Iterator[None]:
    """Wait for the turn on ``gpu``, and have it for the length of the block."""
    metrics = StartMetrics(args.id, node.name, gpu)
    lock = StartLock(node.folder / "starting", f"gpu-{gpu}", lambda: datetime.now(UTC))

    def tell(holder: Holder | None) -> None:
        metrics.wait_for(holder)
        logger.info("%s waits for GPU %s of node %s: %s is starting on it.", args.id, gpu, node.name, holder)

    try:
        with lock.held_by(str(args.id), tell):
            metrics.start()
            yield
    finally:
        metrics.end()


def _load(plan: MemoryPlan, stored: StoredModel, settings: EngineSettings) -> Engine:
    began = time.monotonic()
    logger.info("Loading %s with the %s engine.", plan.id, plan.engine)
    engine = create_engine(plan.engine, stored.folder, stored.manifest, settings)
    logger.info("%s is loaded after %.1f s.", plan.id, time.monotonic() - began)
    if settings.keeps_heap:
        keep_freed_blocks()  # from now on: what the load has freed went back
    return engine
