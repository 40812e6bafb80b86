from __future__ import annotations

import pytest
import ray

from deployments.live_nodes import live_nodes
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
