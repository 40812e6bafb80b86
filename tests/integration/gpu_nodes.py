"""A cluster of several nodes on this machine, whose GPUs are only numbers to Ray, and models that say where they
are."""

from __future__ import annotations

import gc
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
import ray
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.schema import ReplicaDetails, ServeInstanceDetails

from deployments.args import ModelArgs
from deployments.engine_start import take_gpus, turn_on
from deployments.live_nodes import live_nodes
from deployments.options import model_options
from deployments.placing import check_places
from deployments.replica_node import reserved_resources, this_node
from deployments.reservation import check_reservation
from models.devices import device_named
from models.memory.plan import MemoryPlan, plan_memory
from tests.integration.cluster import eventually
from tests.unit.manifests import SMOLLM2

H100 = device_named("h100-80gb")
NUM_GPUS = 2
LOAD_S = 0.5

# For the tests that use these nodes: Ray finds free ports with sockets that it does not close.
leaves_sockets_open = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

# In percent, and on which GPU of a node. They fill both; but in this order, Ray's own books have 0.9 and 0.5 taken
# by the first three, and no room on either GPU for the last.
SHARES = {"one": (50, 0), "two": (40, 1), "three": (50, 0), "four": (60, 1)}


@dataclass(frozen=True)
class Where:
    """``gpu`` is what CUDA would see, ``booked`` what Ray has in its books; the load's times are comparable."""

    node: str
    gpu: str
    booked: int
    pid: int
    began_s: float
    ended_s: float


class Probe:
    """Takes its GPU and its turn on it as a replica does; where that would load an engine, it only takes time."""

    def __init__(self, args: ModelArgs, plan: MemoryPlan) -> None:
        check_reservation(args, plan, {**reserved_resources(), "memory": plan.host_bytes})
        node = this_node()
        gpu, self._claim = take_gpus(args, node)
        with turn_on(gpu, args, node):
            began_s = time.monotonic()
            time.sleep(LOAD_S)
            booked = int(ray.get_gpu_ids()[0])
            self._where = Where(
                node.name, os.environ["CUDA_VISIBLE_DEVICES"], booked, os.getpid(), began_s, time.monotonic()
            )

    def __call__(self) -> Where:
        return self._where


@contextmanager
def gpu_nodes(*names: str, raylet_environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """A head without GPUs, and nodes with two each."""
    with ExitStack() as ends:
        ends.callback(_collect)
        cluster = Cluster()
        ends.callback(cluster.shutdown)
        cluster.add_node(num_cpus=4, num_gpus=0, include_dashboard=False, labels={"stowage.io/node": "head"})
        for name in names:
            cluster.add_node(
                num_cpus=8,
                num_gpus=NUM_GPUS,
                labels={"stowage.io/node": name, "stowage.io/device": H100.name},
                env_vars=dict(raylet_environment or {}),
            )
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        ends.callback(ray.shutdown)
        serve.start(proxy_location="Disabled")
        ends.callback(serve.shutdown)
        del cluster
        yield


def _collect() -> None:
    """Ray leaves sockets open, which is no fault of the tests that follow."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.fixture(scope="module")
def nodes() -> Iterator[None]:
    """Two beside the head."""
    with gpu_nodes("a", "b"):
        yield


@pytest.fixture
def applications() -> Iterator[None]:
    """Removed after each test, so that the next finds the GPUs free."""
    yield
    names = list(serve.status().applications)
    for name in names:
        serve.delete(name, _blocking=False)
    eventually(lambda: not serve.status().applications, 60, f"Serve has removed {names}")


def start_model(name: str, percent: float, *places: tuple[str, int], **more: object) -> str:
    """Ask for a replica on each of ``places``, nodes and GPUs, as the builder would; the application's name.

    ``more`` goes into its args.
    """
    args = ModelArgs.model_validate(
        {
            "model": name,
            "num_cpus": 0.1,
            "memory": f"{percent}%",
            "min_replicas": len(places),
            "max_replicas": len(places),
            "placement": [{"node": node, "devices": [gpu]} for node, gpu in places],
            **more,
        }
    )
    plan = plan_memory(SMOLLM2, args.limits, "transformers", device=H100, budget_bytes=args.memory.on(H100))
    nodes = live_nodes()
    check_places(args, plan, nodes)
    options = model_options(args, plan, nodes)
    del options["ray_actor_options"]["memory"]  # the machine has not the memory of the nodes that it plays
    deployment = serve.deployment(**options)(Probe)
    serve._run(deployment.bind(args, plan), name=str(args.id), route_prefix=None, _blocking=False)
    return str(args.id)


def metrics_addresses() -> list[str]:
    """Where the nodes tell what their replicas report."""
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in ray.nodes()]  # type: ignore[no-untyped-call]


def status(name: str) -> str:
    return serve.status().applications[name].status.value


def replicas(name: str) -> list[ReplicaDetails]:
    """Those that Serve counts as running."""
    client = serve.context._get_global_client()
    assert client is not None
    deployments = ServeInstanceDetails(**client.get_serve_details()).applications[name].deployments.values()
    found = [replica for deployment in deployments for replica in deployment.replicas]
    return [replica for replica in found if replica.state == "RUNNING"]


def replica_pids(name: str) -> set[int]:
    return {replica.pid for replica in replicas(name) if replica.pid is not None}


def where(name: str, num_replicas: int, timeout_s: float = 90) -> list[Where]:
    """Where the replicas are, once so many run and each has answered; sorted by node and GPU."""
    handle = serve.get_app_handle(name)
    answers: dict[int, Where] = {}

    def all_answer() -> list[Where] | None:
        pids = replica_pids(name)
        if len(pids) != num_replicas:
            return None
        answer = handle.remote().result(timeout_s=30)
        answers[answer.pid] = answer
        return [answers[pid] for pid in pids] if pids <= answers.keys() else None

    found = eventually(all_answer, timeout_s, f"{num_replicas} replicas of {name} run: {serve.status()}")
    return sorted(found, key=lambda each: (each.node, each.gpu, each.pid))


def slots(found: list[Where]) -> list[tuple[str, int]]:
    return [(each.node, int(each.gpu)) for each in found]
