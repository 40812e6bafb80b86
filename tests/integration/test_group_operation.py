"""A model that is divided, as its operator meets it: what is told of its groups, updates, and their number."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.cluster import Cluster, Config, application, command_line, eventually

NAME = "divided@1"
MIB = 1024**2


def _config(cluster: Cluster, num_replicas: int = 1, **args: object) -> Config:
    """The cluster's own, and a model in two stages from the files of one that it has."""
    config = cluster.edited()
    store = application(config, "smollm2-135m@1")["args"]["store"]
    told = {
        "model": "divided",
        "source": f"file:{Path(store) / 'smollm2-135m' / '1'}",
        "store": store,
        "num_cpus": 0.1,
        "parallel": {"pipeline": 2},
        "limits": {"max_model_len": 256, "max_num_seqs": 4},
    }
    block: Config = {
        "name": NAME,
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {**told, **args},
        "deployments": [{"name": "Model", "num_replicas": num_replicas}],
    }
    config["applications"].append(block)
    return config


@pytest.fixture(scope="module")
def divided(cluster: Cluster) -> Iterator[Cluster]:
    try:
        cluster.deploy(_config(cluster))
        cluster.wait_status(NAME, "ready")
        yield cluster
    finally:
        cluster.restore()
    eventually(lambda: not _workers(cluster) and not _placement_groups(cluster), 60, "nothing of it is left")


def _placement_groups(cluster: Cluster) -> set[str]:
    found = cluster.ray_state("placement_groups")
    return {str(each["placement_group_id"]) for each in found if each["state"] != "REMOVED"}


def _workers(cluster: Cluster) -> set[int]:
    """Processes of ranks that do not lead."""
    return {pid for pid in cluster.descendants() if "RankWorker" in " ".join(command_line(pid))}


def _free_cpus(cluster: Cluster) -> float:
    """What the other applications leave of the node."""
    (node,) = (each for each in cluster.ray_state("nodes") if each["state"] == "ALIVE")
    return float(node["resources_total"]["CPU"]) - 0.1 * len(cluster.config["applications"])


def _ask(cluster: Cluster) -> int:
    body = {"model": NAME, "prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}
    return httpx.post(f"{cluster.base_url}/v1/completions", json=body, timeout=120).status_code


def _settle(cluster: Cluster, config: Config) -> set[int]:
    """Deploy it; the leaders, once Serve has done all that it asks for and each has the other rank of its own."""
    cluster.deploy(config)

    def probe() -> set[int] | None:
        if cluster.details().applications[NAME].status != "RUNNING":
            return None
        leaders = cluster.pids(NAME)
        return leaders if len(leaders) == len(_workers(cluster)) else None

    return eventually(probe, 120, f"{NAME} is as deployed: {cluster.readiness()}")


def _refused(cluster: Cluster, config: Config) -> str:
    """Why it is, while what runs goes on."""
    before = _workers(cluster)
    cluster.deploy(config)
    entry = eventually(
        lambda: entry if (entry := cluster.readiness()[NAME])["reason"] else None, 60, "it is refused"
    )
    assert (entry["ready"], entry["status"]) == (True, "ready")
    assert _ask(cluster) == 200
    assert _workers(cluster) == before
    return str(entry["reason"])


def _is_well(entry: dict[str, Any]) -> bool:
    return entry["status"] == "ready" and entry["reason"] is None


class _Asking:
    """One request after the other, until it is closed."""

    def __init__(self, cluster: Cluster) -> None:
        self.statuses: list[int] = []
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._asking = self._pool.submit(self._ask, cluster)

    def _ask(self, cluster: Cluster) -> None:
        while not self._done.is_set():
            self.statuses.append(_ask(cluster))

    def __enter__(self) -> _Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._pool.shutdown()
        self._asking.result()


def test_its_ranks_and_what_each_takes_are_in_the_status(divided: Cluster) -> None:
    shown = eventually(
        lambda: shown if (shown := divided.status()[NAME])["reason"] and len(shown["memory"]) == 2 else None,
        60,
        "both report",
    )
    assert shown["reason"].startswith("2 ranks: node ")
    assert [each["rank"] for each in shown["memory"]] == [0, 1]
    for each in shown["memory"]:
        assert each["measured"]["total"] > 100 * MIB
        assert not each["over_budget"]
    assert shown["memory"][0]["planned"]["tokenizer"] > 0
    assert "tokenizer" not in shown["memory"][1]["planned"]


def test_a_group_that_starts_anew_says_why_until_it_serves(divided: Cluster) -> None:
    (worker,) = _workers(divided)
    psutil.Process(worker).send_signal(signal.SIGKILL)
    reason = divided.wait_status(NAME, "starting", 60)["reason"]
    assert reason.startswith("its group of ranks starts anew: rank 1 on node ")
    assert "its process is gone" in reason
    assert divided.wait_status(NAME, "ready")["reason"] is None
    shown = eventually(
        lambda: shown if "died" in (shown := divided.status()[NAME]["reason"] or "") else None, 60, "it is told"
    )
    assert "groups failed so far: 1 died" in shown
    assert len(_workers(divided)) == 1


def test_another_number_of_ranks_is_refused_and_the_group_goes_on(divided: Cluster) -> None:
    before = _settle(divided, _config(divided))
    reason = _refused(divided, _config(divided, parallel="off"))
    assert "its update failed: divided@1 runs with 2 ranks, and would have 1 (write it as a version" in reason
    assert _settle(divided, _config(divided)) == before
    eventually(lambda: _is_well(divided.readiness()[NAME]), 30, "nothing is said of it any more")


def test_an_update_keeps_the_group_until_the_new_one_serves_or_asks_what_to_do(divided: Cluster) -> None:
    """The new group takes more than half of what the node has, so that there is no room for a third one."""
    first = _settle(divided, _config(divided))
    large: dict[str, Any] = {"num_cpus": 0.3 * _free_cpus(divided)}
    with _Asking(divided) as asking:
        second = _settle(divided, _config(divided, **large))
    assert not second & first
    assert set(asking.statuses) == {200}
    changed = {**large, "max_queued_requests": 64}
    reason = _refused(divided, _config(divided, **changed))
    assert "there is no room for both: rank 1 of 2 finds no room beside rank 0: it needs " in reason
    assert "write update: replace" in reason
    third = _settle(divided, _config(divided, **changed, update="replace"))
    assert not third & second
    assert _ask(divided) == 200


def test_groups_come_and_go_as_replicas_do(divided: Cluster) -> None:
    assert len(_settle(divided, _config(divided, update="replace"))) == 1
    assert len(_settle(divided, _config(divided, 2, update="replace"))) == 2
    assert (len(_workers(divided)), len(_placement_groups(divided))) == (2, 2)
    assert len(_settle(divided, _config(divided, 1, update="replace"))) == 1
    eventually(
        lambda: (len(_workers(divided)), len(_placement_groups(divided))) == (1, 1), 60, "the other is gone"
    )
    assert _ask(divided) == 200
