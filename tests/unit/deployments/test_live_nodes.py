from __future__ import annotations

import pytest
import ray

from deployments import live_nodes as module
from deployments.live_nodes import free_nodes, live_nodes, planned_nodes
from deployments.routing.shortage import FreeNode
from models.coming_nodes import GROUPS_VARIABLE, NodeGroup, dump_groups
from models.devices import device_named


def record(node_id: str, resources: dict[str, float], *, alive: bool = True) -> dict[str, object]:
    """The fields of ``ray.nodes()`` that matter, among others, as Ray 2.60 gives them."""
    return {
        "NodeID": node_id,
        "NodeName": "192.0.2.2",
        "NodeManagerAddress": "192.0.2.2",
        "Alive": alive,
        "Resources": resources,
        "Labels": {"ray.io/node-id": node_id},
    }


def test_the_nodes_that_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        record("bb", {"CPU": 2.0, "memory": 8e9, "GPU": 2.0, "accelerator_type:H200": 1.0}),
        record("cc", {}, alive=False),
        record("aa", {"CPU": 1.0, "memory": 4e9, "node:__internal_head__": 1.0}),
    ]
    monkeypatch.setattr(ray, "nodes", lambda: records)
    cpu, gpu = live_nodes()
    assert (cpu.name, cpu.num_cpus, cpu.memory_bytes, cpu.gpu) == ("aa", 1.0, 4_000_000_000, None)
    assert (gpu.name, gpu.gpu, gpu.num_devices) == ("bb", device_named("h200-141gb"), 2)
    assert gpu.stored == frozenset()


def test_plans_count_on_the_nodes_that_may_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    group = NodeGroup(name="l4", max_nodes=2, num_cpus=8, memory_bytes=8, device="l4-24gb", num_devices=1)
    monkeypatch.setattr(ray, "nodes", lambda: [record("aa", {"CPU": 0.0, "memory": 4e9})])
    assert planned_nodes() == live_nodes()
    monkeypatch.setenv(GROUPS_VARIABLE, dump_groups([group]))
    head, *coming = planned_nodes()
    assert (head,) == live_nodes()
    assert [node.gpu for node in coming] == [device_named("l4-24gb")] * 2


def test_what_the_nodes_that_are_alive_have_free(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        record("aa", {"CPU": 2.0, "GPU": 1.0, "accelerator_type:L4": 1.0}),
        record("bb", {"CPU": 2.0, "GPU": 1.0}),  # of a kind that nobody knows
        record("cc", {}, alive=False),
        record("dd", {"CPU": 1.0}),  # it has just come, and has not said yet
    ]
    free = {"aa": {"CPU": 1.5, "GPU": 0.25}, "bb": {"CPU": 2.0}, "cc": {"CPU": 4.0}}
    monkeypatch.setattr(ray, "nodes", lambda: records)
    monkeypatch.setattr(module, "available_resources_per_node", lambda: free)
    assert free_nodes() == (
        FreeNode(free["aa"], device_named("l4-24gb"), {"ray.io/node-id": "aa"}),
        FreeNode(free["bb"], None, {"ray.io/node-id": "bb"}),
        FreeNode({}, None, {"ray.io/node-id": "dd"}),
    )
