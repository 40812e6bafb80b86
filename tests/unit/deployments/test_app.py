"""The builder of a model: what it asks of Ray for the nodes that Ray tells of, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from deployments.app import build_model
from deployments.args import ModelArgs
from models.errors import ConfigError, DoesNotFitError
from tests.unit.models.tiny_models import write_encoder

CPU_NODE = {"CPU": 8.0, "memory": 16e9}
GPU_NODE = {"CPU": 8.0, "memory": 64e9, "GPU": 2.0}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``ray.nodes`` says of a node with two H100 called ``big`` and one without a GPU called ``small``."""
    records = [
        {
            "NodeID": f"id-{name}",
            "NodeName": name,
            "Alive": True,
            "Resources": resources,
            "Labels": {"ray.io/node-id": f"id-{name}", "stowage.io/node": name, **labels},
        }
        for name, resources, labels in (
            ("big", GPU_NODE, {"stowage.io/device": "h100-80gb"}),
            ("small", CPU_NODE, {}),
        )
    ]
    monkeypatch.setattr(ray, "nodes", lambda: records)


def build(folder: Path, **args: object) -> dict[str, Any]:
    """The actor options of a tiny encoder, and ``max_replicas_per_node``."""
    written = {
        "model": "mini",
        "source": f"file:{write_encoder(folder / 'encoder')}",
        "store": str(folder / "store"),
    }
    deployment = build_model(ModelArgs.model_validate({**written, **args}))._bound_deployment
    per_node = deployment._replica_config.max_replicas_per_node
    return {**(deployment.ray_actor_options or {}), "max_replicas_per_node": per_node}


def test_a_model_takes_a_fraction_of_the_gpu_that_is_there(cluster: None, tmp_path: Path) -> None:
    options = build(tmp_path, memory="40%")
    assert (options["num_gpus"], options["max_replicas_per_node"]) == (0.4, None)
    assert "label_selector" not in options  # all GPUs are of one kind


def test_a_placement_is_carried_into_ray(cluster: None, tmp_path: Path) -> None:
    options = build(tmp_path, memory="40%", placement=[{"node": "big", "devices": [1]}])
    assert options["label_selector"] == {"stowage.io/node": "in(big)"}
    assert (options["num_gpus"], options["max_replicas_per_node"]) == (0.4, 1)


def test_a_cpu_model_takes_memory_alone(cluster: None, tmp_path: Path) -> None:
    options = build(tmp_path, device="cpu", memory="1GiB")
    assert options["memory"] == 1024**3
    assert "num_gpus" not in options


@pytest.mark.parametrize(
    ("args", "kind", "message"),
    [
        ({"device": "cpu", "memory": "100GiB"}, DoesNotFitError, "mini@1 needs 100.0 GiB .* has 59.6 GiB"),
        ({"memory": "100GiB"}, DoesNotFitError, "one h100-80gb has 79.1 GiB"),
        ({"device": "t4-16gb"}, ConfigError, "the cluster has h100-80gb"),
        ({"placement": [{"node": "gone", "devices": [0]}]}, ConfigError, "node 'gone', but alive are big, small"),
        ({"placement": [{"node": "small"}]}, ConfigError, "node small without a GPU, but .* for h100-80gb"),
    ],
)
def test_what_cannot_run_as_written_is_refused(
    cluster: None, tmp_path: Path, args: dict[str, object], kind: type[ConfigError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        build(tmp_path, **args)


def test_a_compute_share_needs_a_gpu(monkeypatch: pytest.MonkeyPatch, cluster: None, tmp_path: Path) -> None:
    without_gpus = [record for record in ray.nodes() if "GPU" not in record["Resources"]]  # type: ignore[no-untyped-call]
    monkeypatch.setattr(ray, "nodes", lambda: without_gpus)
    with pytest.raises(ConfigError, match="mini@1 has compute_share 40, but is planned for a CPU"):
        build(tmp_path, compute_share=40)
