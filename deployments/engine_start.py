"""From args and plan to an engine that is ready: on its device, within its budget, one at a time on a GPU."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from deployments.args import ModelArgs
from deployments.devices import assigned_gpu, pin_gpus, share_compute
from deployments.importing import ensure_imported
from deployments.metrics.start import StartMetrics, report_compute_share
from deployments.options import engine_settings
from deployments.place_ledger import PLACE_WAIT_S, Claim, PlaceLedger
from deployments.placing import places_on
from deployments.replica_node import ReplicaNode, reserved_resources, this_node
from deployments.reservation import check_reservation
from models.engines.base import Engine, EngineSettings
from models.engines.heap import keep_freed_blocks
from models.engines.registry import create_engine
from models.memory.plan import MemoryPlan
from models.start_lock import Holder, StartLock
from models.store import StoredModel

if TYPE_CHECKING:
    from deployments.group_lead import Group

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class Started:
    """A ready engine, the version that it serves, and its place, which is to be kept as long as the engine.

    ``group``: the ranks that compute with it, where the model is divided.
    """

    stored: StoredModel
    settings: EngineSettings
    engine: Engine
    claim: Claim | None = None
    group: Group | None = None


def start_engine(args: ModelArgs, plan: MemoryPlan) -> Started:
    """Blocks: for the import, for the engines that start before it on the same GPU, for its own load and warm-up.

    On a CPU nothing is waited for: there no engine sizes itself by what is free. ConfigError when Ray has reserved
    less than was planned, or when the device is not there. vLLM itself starts the ranks of a group.
    """
    if plan.group is not None and plan.engine != "vllm":
        from deployments.parallel import start_group  # noqa: PLC0415  imports torch

        group = start_group(args, plan, plan.group)
        return Started(group.stored, group.settings, group.engine, group=group)
    check_reservation(args, plan, reserved_resources())
    stored = ensure_imported(args)
    settings = engine_settings(args, plan)
    if plan.device.kind == "cpu":
        return Started(stored, settings, _load(plan, stored, settings))
    node = this_node()
    gpus, claim = take_gpus(args, node)
    with ExitStack() as turns:
        for each in sorted(gpus.split(",")):  # in the same order everywhere, so that two never wait for each other
            turns.enter_context(turn_on(each, args, node))
        return Started(stored, settings, _load(plan, stored, settings), claim)


def take_gpus(args: ModelArgs, node: ReplicaNode) -> tuple[str, Claim | None]:
    """What CUDA calls the GPU that this process is to use, which is from now on the only one that it sees.

    Those of all ranks, by commas, where they are its children. Must come before anything initialises CUDA. Without
    a placement it is what Ray has assigned.
    """
    claim = None
    if args.placement:
        ledger = PlaceLedger(node.folder / "places" / node.node_id)
        claim = ledger.claim(args.id, places_on(args.placement, node.name), PLACE_WAIT_S)
        gpus = pin_gpus(claim.places[0].devices, os.environ)
    else:
        gpus = assigned_gpu(args.id, os.environ)
    if args.compute_share is not None:
        kept = share_compute(args.id, args.compute_share, os.environ)
        report_compute_share(args.id, node.name, gpus, kept=kept)
    logger.info("%s is on GPU %s of node %s.", args.id, gpus, node.name)
    return gpus, claim


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
