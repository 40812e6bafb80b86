"""A pool on a real cluster: more models than its budget holds, each answered right, whatever replicas do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from benchmarks.pool_models import embed_with_onnx, embed_with_torch, generate_with_torch
from benchmarks.seeded_models import VOCABULARY, write_bert, write_graph, write_llama
from cluster.live.dashboard import Dashboard, read_token
from cluster.live.replica_metrics import fetch_metrics
from tests.integration.cluster import ROOT, Cluster, Config, application, eventually, free_port

MIB = 1024**2
BUDGET_MIB = 620
NUM_OF_EACH = 3
PROMPT = list(range(3, 19))
WORDS = " ".join(VOCABULARY[i] for i in PROMPT)
LIMITS = {"max_model_len": 64, "max_num_seqs": 2, "max_batch_size": 4, "max_batch_tokens": 64, "page_size": 16}
STATS = """
import ray, sys
from ray import serve
ray.init(address=sys.argv[1], log_to_driver=False)
handle = serve.get_app_handle("pool-small")
found = {}
while len(found) < 2:
    stats = handle.stats.remote().result(timeout_s=60)
    found[stats.replica] = stats
for stats in found.values():
    print(stats.taken_bytes, stats.room_bytes, stats.totals.get("evictions", 0), stats.totals.get("loads", 0))
"""


def model(folder: Path, kind: str, seed: int) -> Config:
    """One item of the pool's models, its files written."""
    name = f"{kind}-{seed}"
    source = folder / (f"{name}.onnx" if kind == "graph" else name)
    {"bert": write_bert, "llama": write_llama, "graph": write_graph}[kind](source, seed)
    task = "generate" if kind == "llama" else "embed"
    tokenizer = {"tokenizer": f"file:{folder}/bert-0"} if kind == "graph" else {}
    return {"model": name, "source": f"file:{source}", "task": task, "limits": LIMITS, **tokenizer}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def pool(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two replicas of nine models, of which about four find room in each."""
    folder = tmp_path_factory.mktemp("pool")
    models = [model(sources, kind, seed) for kind in ("bert", "llama", "graph") for seed in range(NUM_OF_EACH)]
    args = {"name": "small", "memory": f"{BUDGET_MIB}MiB", "num_replicas": 2, "num_cpus": 0.1, "models": models}
    running = Cluster(
        {
            "http_options": {"host": "127.0.0.1", "port": free_port()},
            "applications": [
                {"name": "router", "route_prefix": "/", "import_path": "deployments.app:build_router",
                 "args": {"num_cpus": 0.1, "state": f"sqlite:///{folder / 'state.db'}",
                          "audit_dir": str(folder / "audit")}},
                {"name": "pool-small", "route_prefix": None, "import_path": "deployments.pool_app:build_pool",
                 "args": {**args, "store": str(folder / "store")}},
            ],
        },
        folder,
    )  # fmt: skip
    try:
        running.wait_until_announced(timeout_s=300)
        yield running
    finally:
        running.interrupt()


def ask(cluster: Cluster, name: str) -> httpx.Response:
    base = f"{cluster.base_url}/v1"
    if name.startswith("llama"):
        body = {"model": name, "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
        return httpx.post(f"{base}/completions", json=body, timeout=120)
    return httpx.post(f"{base}/embeddings", json={"model": name, "input": WORDS}, timeout=120)


def names(cluster: Cluster) -> list[str]:
    return [each["model"] for each in application(cluster.config, "pool-small")["args"]["models"]]


def is_right(reply: httpx.Response, name: str, sources: Path, tmp_path: Path) -> bool:
    """As the libraries answer by themselves."""
    assert reply.status_code == 200, reply.text
    if name.startswith("llama"):
        return bool(reply.json()["choices"][0]["text"] == generate_with_torch(sources / name, PROMPT))
    vector = np.array(reply.json()["data"][0]["embedding"])
    if name.startswith("graph"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").symlink_to(sources / f"{name}.onnx")
        return np.allclose(vector, embed_with_onnx(tmp_path / name, PROMPT), atol=1e-4)
    return np.allclose(vector, embed_with_torch(sources / name, PROMPT), atol=1e-4)


def test_every_model_answers_right_though_not_all_fit(pool: Cluster, sources: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    assert all(is_right(ask(pool, name), name, sources, tmp_path) for name in names(pool))
    for name in [*names(pool), *reversed(names(pool))]:
        assert ask(pool, name).status_code == 200
    probe = subprocess.run(
        [sys.executable, "-c", STATS, pool.ray_address],
        capture_output=True, text=True, check=True, timeout=180, cwd=ROOT,
        env={**os.environ, "RAY_AUTH_MODE": "token", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = [[int(number) for number in line.split()] for line in probe.stdout.splitlines()]
    assert len(lines) == 2
    assert all(taken <= room for taken, room, _, _ in lines)
    assert sum(evictions for _, _, evictions, _ in lines) > 0
    assert sum(loads for _, _, _, loads in lines) > len(names(pool))


def _reported(cluster: Cluster) -> list[dict[str, Any]] | None:
    """The memory of both replicas, once each has mapped what it reports as loaded, if any of that is mapped."""
    memory: list[dict[str, Any]] = cluster.status()["pool-small"]["memory"]
    weights = [(each["planned"]["weights"], each["measured"]["weights"]) for each in memory]
    agree = all(0.5 * planned < measured <= 1.01 * planned for planned, measured in weights if planned or measured)
    return memory if len(memory) == 2 and agree and any(planned for planned, _ in weights) else None


def test_each_replica_shows_measured_bytes_beside_those_planned_for_what_it_hosts(pool: Cluster) -> None:
    for name in reversed(names(pool)):
        ask(pool, name)
    for memory in eventually(
        lambda: _reported(pool), 60, "both replicas report the weights that they have mapped"
    ):
        planned, measured = memory["planned"], memory["measured"]
        assert planned["runtime"] < planned["total"] <= memory["budget_bytes"] == BUDGET_MIB * MIB
        assert planned["total"] == sum(planned[term] for term in planned if term not in ("total", "host"))
        assert 100 * MIB < measured["total"] <= measured["peak"]
        assert measured["total"] == measured["weights"] + measured["other"]
        assert memory["deviation"] >= measured["total"] / planned["total"] - 1.001
        assert not memory["over_budget"], memory


def _weights(cluster: Cluster) -> dict[tuple[str, str], dict[str, float]]:
    """By replica and model the planned and the measured bytes of mapped weights."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    metrics = fetch_metrics(Dashboard(cluster.dashboard_url, read_token(os.environ, Path.home())))
    assert metrics.problems == ()
    for sample in metrics.samples:
        if sample.name.endswith("_weights_bytes"):
            kind = sample.name.removeprefix("ray_stowage_pool_").removesuffix("_weights_bytes")
            found[sample.labels["replica"], sample.labels["model"]][kind] = sample.value
    return found


def test_the_mapped_weights_of_each_model_are_measured_while_it_is_loaded(pool: Cluster) -> None:
    def agree() -> bool:
        both = [each for each in _weights(pool).values() if each.keys() == {"planned", "measured"}]
        loaded = [each["measured"] / each["planned"] for each in both if each["planned"]]
        gone = [each["measured"] for each in both if not each["planned"]]
        return bool(loaded and gone) and not any(gone) and all(0.5 < share <= 1.01 for share in loaded)

    eventually(agree, 60, "loaded models have their weights in memory, and closed ones have none")
    assert {name.partition("-")[0] for _, name in _weights(pool)} == {"bert", "llama"}  # ONNX Runtime copies


def test_pooled_models_are_listed_and_ready_like_any_other(pool: Cluster) -> None:
    listed = {each["id"] for each in httpx.get(f"{pool.base_url}/v1/models", timeout=30).json()["data"]}
    assert {f"{name}@1" for name in names(pool)} <= listed
    assert all(entry["ready"] for entry in pool.readiness().values())
    metadata = httpx.get(f"{pool.base_url}/v2/models/graph-0", timeout=30).json()
    assert metadata["outputs"] == [{"name": "last_hidden_state", "datatype": "FP32", "shape": [-1, -1, 384]}]


def test_a_call_of_the_wrong_task_is_refused(pool: Cluster) -> None:
    reply = httpx.post(f"{pool.base_url}/v1/completions", json={"model": "bert-0", "prompt": "w1"}, timeout=60)
    assert reply.status_code == 400
    assert "its task is 'embed'" in reply.json()["error"]["message"]


@dataclass
class Caller:
    """Asks models in turn, in a thread, until told to stop."""

    cluster: Cluster
    models: list[str]
    failures: list[str] = field(default_factory=list)
    num_answers: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Caller:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            for name in self.models:
                reply = ask(self.cluster, name)
                self.num_answers += reply.status_code == 200
                if reply.status_code != 200:
                    self.failures.append(f"{name}: {reply.status_code} {reply.text}")


def test_when_a_replica_dies_the_other_takes_its_models(pool: Cluster) -> None:
    before = pool.pids("pool-small")
    os.kill(min(before), signal.SIGKILL)
    for name in names(pool):
        eventually(lambda name=name: ask(pool, name).status_code == 200, 60, f"{name} answers")  # type: ignore[misc]
    eventually(lambda: len(pool.pids("pool-small") - {min(before)}) == 2, 120, "the replica is replaced")


def test_adding_a_model_restarts_one_replica_after_the_other(pool: Cluster, sources: Path) -> None:
    before = pool.pids("pool-small")
    config = pool.edited()
    application(config, "pool-small")["args"]["models"].append(model(sources, "bert", NUM_OF_EACH))
    with Caller(pool, ["bert-0", "llama-1"]) as caller:
        pool.deploy(config)
        eventually(lambda: ask(pool, f"bert-{NUM_OF_EACH}").status_code == 200, 180, "the new model answers")
        eventually(lambda: len(pool.pids("pool-small") - before) == 2, 180, "both replicas are new")
    assert caller.failures == []
    assert caller.num_answers > 10
