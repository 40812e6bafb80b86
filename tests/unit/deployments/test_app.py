"""The builders: what a model asks of Ray for the nodes that Ray tells of, what is refused, a router's args."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from deployments import app
from deployments.app import build_model, build_router
from deployments.args import ModelArgs, RouterArgs
from deployments.exposure import Listening
from deployments.routing.states import ApplicationView, ReplicaView
from deployments.state.api_key import KeyGrant
from deployments.state.database import Database
from deployments.state.keys import Keys
from models.errors import ConfigError, ConflictError, DoesNotFitError, StateError
from models.types import ModelCard, Task, VersionId
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
    monkeypatch.setattr(app, "live_application", lambda _: None)


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


def test_what_runs_in_one_process_is_not_followed_by_a_group(
    monkeypatch: pytest.MonkeyPatch, cluster: None, tmp_path: Path
) -> None:
    card = ModelCard(VersionId("mini", "1"), Task.EMBED, "embedding", 0, num_ranks=2, args_digest="before")
    running = ReplicaView("RUNNING", placed=True, started_unix_s=0)
    view = ApplicationView("mini@1", "DEPLOYING", "", 1, (running,), card=card)
    monkeypatch.setattr(app, "live_application", lambda _: view)
    monkeypatch.setattr(app, "free_nodes", lambda: ())
    with pytest.raises(ConflictError, match=r"mini@1 runs with 2 ranks, and would have 1 \(write it as a version"):
        build(tmp_path)


def test_a_compute_share_needs_a_gpu(monkeypatch: pytest.MonkeyPatch, cluster: None, tmp_path: Path) -> None:
    without_gpus = [record for record in ray.nodes() if "GPU" not in record["Resources"]]  # type: ignore[no-untyped-call]
    monkeypatch.setattr(ray, "nodes", lambda: without_gpus)
    with pytest.raises(ConfigError, match="mini@1 has compute_share 40, but is planned for a CPU"):
        build(tmp_path, compute_share=40)


@pytest.mark.parametrize(("host", "keys"), [("127.0.0.1", "auto"), ("0.0.0.0", "required")])
def test_a_router_that_other_machines_reach_asks_for_keys_whatever_it_finds(
    monkeypatch: pytest.MonkeyPatch, cluster: None, tmp_path: Path, host: str, keys: str
) -> None:
    state = f"sqlite:///{tmp_path}/state.db"
    with Database.open(state) as database:
        Keys(database).create(KeyGrant(owner="ann"), "cli:ann")
    monkeypatch.setattr(app, "listening", lambda: Listening(host, is_encrypted=True))
    (args,) = build_router(RouterArgs(state=state))._bound_deployment.init_args
    assert args == RouterArgs(state=state, keys=keys)


def test_routers_on_several_nodes_need_a_database_that_they_share(
    monkeypatch: pytest.MonkeyPatch, cluster: None
) -> None:
    monkeypatch.setattr(app, "listening", lambda: Listening("127.0.0.1", is_encrypted=False))
    with pytest.raises(StateError, match="2 router replicas may be on 2 nodes"):
        build_router(RouterArgs(num_replicas=2))
    build_router(RouterArgs(num_replicas=2, num_cpus=9))  # only Ray can tell that no node has so many
