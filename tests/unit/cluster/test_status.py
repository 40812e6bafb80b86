from __future__ import annotations

import time
from pathlib import Path

from cluster.live.dashboard import LiveApplication
from cluster.live.group_metrics import LiveGroups
from cluster.live.replica_metrics import ReplicaMemory
from cluster.status import LiveModel, status_row
from deployments.routing.run_time import RunTimeNote, Stamp, with_note
from tests.unit.cluster import clusters
from tests.unit.cluster.clusters import written
from tests.unit.cluster.conftest import Answer, HttpServer, Stowage
from tests.unit.serve_details import application, details

GIB = 1024**3


def replica(name: str, total: int, peak: int, *, over: bool = False) -> ReplicaMemory:
    measured = {"total": total, "peak": peak}
    return ReplicaMemory(
        "m@1", name, 2 * GIB, {"total": 2 * GIB}, measured, deviation=peak / (2 * GIB) - 1, over_budget=over
    )


def test_of_several_replicas_the_largest_is_shown() -> None:
    app = LiveApplication("m@1", "ready", 2, 2, planned_bytes=2 * GIB, replicas=("a", "b"))
    memory = (replica("a", GIB, 3 * GIB, over=True), replica("b", 2 * GIB, 2 * GIB))
    assert status_row(LiveModel(app, memory))[4:] == (
        "2/2", "2.0 GiB", "2.0 GiB", "3.0 GiB", "+50.0% OVER", "",
    )  # fmt: skip


def test_a_deviation_below_the_plan_is_negative() -> None:
    app = LiveApplication("m@1", "ready", 1, 1, planned_bytes=2 * GIB, replicas=("a",))
    assert status_row(LiveModel(app, (replica("a", GIB, GIB),)))[8] == "-50.0%"


def test_what_replicas_host_now_is_planned_and_not_what_they_reserve() -> None:
    app = LiveApplication("pool-small", "ready", 2, 2, planned_bytes=4 * GIB, replicas=("a", "b"))
    hosts = [
        ReplicaMemory("pool-small", name, 4 * GIB, {"total": planned}, {"total": GIB, "peak": 3 * GIB}, deviation)
        for name, planned, deviation in (("a", GIB, 0.0), ("b", 2 * GIB, -0.5))
    ]
    assert status_row(LiveModel(app, tuple(hosts)))[1:9] == (
        "-", "-", "ready", "2/2", "2.0 GiB", "1.0 GiB", "3.0 GiB", "+0.0%",
    )  # fmt: skip
    assert status_row(LiveModel(app))[5] == "4.0 GiB"


def test_a_model_that_starts_says_for_what_it_waits() -> None:
    starting = LiveApplication("m@1", "starting", 0, 1, reason="its replica is loading")
    assert status_row(LiveModel(starting, (), "waits for GPU 0 of n"))[-1] == "waits for GPU 0 of n"
    ready = LiveApplication("m@1", "ready", 1, 2)
    assert status_row(LiveModel(ready, (), "waits for GPU 0 of n"))[-1] == ""


def test_a_note_stands_beside_the_reason() -> None:
    ready = LiveApplication("m@1", "ready", 1, 1)
    assert status_row(LiveModel(ready, note="no MPS daemon"))[-1] == "no MPS daemon"
    failing = LiveApplication("m@1", "failed", 0, 1, reason="it failed")
    assert status_row(LiveModel(failing, note="no MPS daemon"))[-1] == "it failed; no MPS daemon"


def test_the_groups_of_a_divided_model_are_told() -> None:
    groups = LiveGroups((("a", "b"), ("c", "c")), failures={"stalled": 1, "died": 2})
    ready = LiveApplication("m@1", "ready", 2, 2)
    assert status_row(LiveModel(ready, groups=groups))[-1] == (
        "2 ranks: node a, node b; 2 ranks: node c; groups failed so far: 2 died, 1 stalled"
    )
    starting = LiveApplication("m@1", "starting", 0, 1, reason="its replica is loading")
    assert status_row(LiveModel(starting, groups=LiveGroups(after="rank 1 on node b: it died")))[-1] == (
        "its group of ranks starts anew: rank 1 on node b: it died; its replica is loading"
    )


def test_what_no_file_says_is_marked_and_what_is_missing_shown(
    stowage: Stowage, http_server: HttpServer, tmp_path: Path
) -> None:
    note = RunTimeNote({"name": "beyond@1"}, {}, loaded=Stamp("ann", time.time() - 7300))
    user_config = with_note({}, note)
    live = (application("beyond@1", "RUNNING", ("RUNNING",), user_config=user_config),)
    http_server.answers["/api/serve/applications/"] = Answer(200, details(*live))
    http_server.answers["/api/prometheus/sd"] = Answer(200, b"[]")
    config = tmp_path / "serve_config.yaml"
    config.write_text(written(clusters.application("m")))
    shown = stowage("status", "--address", http_server.url, "--config", config, "--json")
    reasons = {each["name"]: each["reason"] for each in shown.json}
    assert reasons["beyond@1"] == "loaded at run time by ann, 2 h ago"
    assert set(reasons) == {"beyond@1", "m@1", "router"}
    assert "serve deploy" in reasons["m@1"]
