from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cluster.live.dashboard import Dashboard
from cluster.live.replica_metrics import (
    ReplicaMemory,
    Sample,
    fetch_metrics,
    parse_samples,
    replica_memory,
    starting,
    without_share,
)
from tests.unit.cluster.conftest import Answer, HttpServer

# As a node of Ray 2.60 gives it, with fewer labels.
EXPOSED = """\
# HELP ray_serve_num_ongoing_requests others' metrics are not read
# TYPE ray_serve_num_ongoing_requests gauge
ray_serve_num_ongoing_requests{application="m@1"} not-a-number
# HELP ray_stowage_memory_planned_bytes Bytes
# TYPE ray_stowage_memory_planned_bytes gauge
ray_stowage_memory_planned_bytes{application="m@1",replica="r0",term="weights"} 800.0
ray_stowage_memory_planned_bytes{application="m@1",replica="r0",term="total"} 1000.0
ray_stowage_memory_planned_bytes{application="m@1",replica="gone",term="total"} 1000.0
# TYPE ray_stowage_memory_measured_bytes gauge
ray_stowage_memory_measured_bytes{application="m@1",replica="r0",term="total"} 1.05e+03
ray_stowage_memory_measured_bytes{application="m@1",replica="r0",term="peak"} 1100.0
ray_stowage_memory_measured_bytes{application="m@1",replica="gone",term="total"} 1.05e+03
ray_stowage_memory_measured_bytes{application="m@1",replica="gone",term="peak"} 1100.0
ray_stowage_memory_budget_bytes{application="m@1",replica="r0"} 1000.0
ray_stowage_memory_deviation_ratio{application="m@1",replica="r0"} 0.1
ray_stowage_memory_over_budget{application="m@1",replica="r0"} 1.0
ray_stowage_memory_planned_bytes{application="m@1",replica="r1",term="total"} 1000.0
ray_stowage_memory_over_budget_episodes_total{application="m@1",replica="r0"} 1.0
"""
RUNNING = {"m@1": ("r0", "r1"), "router": ("x",)}
R0 = ReplicaMemory(
    "m@1", "r0", 1000, {"total": 1000, "weights": 800}, {"peak": 1100, "total": 1050}, 0.1, over_budget=True
)


def test_only_running_replicas_that_have_reported_in_full_count() -> None:
    (found,) = replica_memory(parse_samples(EXPOSED), RUNNING)
    assert found == R0


def test_each_rank_of_a_replica_counts() -> None:
    """Sorted by their numbers, not by how these are written."""
    lines = [
        line.replace('replica="r0"', f'replica="r0",rank="{rank}"')
        for rank in (10, 2)
        for line in EXPOSED.splitlines()
        if "ray_stowage" in line and 'replica="r0"' in line
    ]
    found = replica_memory(parse_samples("\n".join(lines)), RUNNING)
    assert found == (replace(R0, rank=2), replace(R0, rank=10))


def test_nothing_is_found_in_others_metrics() -> None:
    assert list(parse_samples("ray_serve_x 1.0\nnonsense {\n")) == []


def test_every_endpoint_is_asked_and_a_dead_one_is_named(http_server: HttpServer, closed_url: str) -> None:
    here, dead = (url.removeprefix("http://") for url in (http_server.url, closed_url))
    http_server.answers["/api/prometheus/sd"] = Answer(200, json.dumps([{"targets": [here, dead]}]).encode())
    http_server.answers["/metrics"] = Answer(200, EXPOSED.encode())
    found = fetch_metrics(Dashboard(http_server.url, "secret"))
    assert replica_memory(found.samples, RUNNING) == (R0,)
    (problem,) = found.problems
    assert problem.startswith(f"no metrics from http://{dead}/metrics: ")
    assert http_server.authorization == ["Bearer secret", None]  # the token is the dashboard's


@pytest.mark.parametrize(
    ("discovery", "metrics", "problem"),
    [
        (Answer(404, b"Path not found"), Answer(200, b""), "answered HTTP 404"),
        (Answer(200, b"{}"), Answer(200, b""), "did not answer like a Ray dashboard"),
        (Answer(200, b"[]"), Answer(200, b""), "names no endpoint"),
        (None, Answer(503, b"busy"), "HTTP 503"),
    ],
)
def test_without_metrics_there_is_a_reason(
    http_server: HttpServer, discovery: Answer | None, metrics: Answer, problem: str
) -> None:
    here = http_server.url.removeprefix("http://")
    named = Answer(200, json.dumps([{"targets": [here]}]).encode())
    http_server.answers["/api/prometheus/sd"] = discovery or named
    http_server.answers["/metrics"] = metrics
    found = fetch_metrics(Dashboard(http_server.url))
    assert found.samples == ()
    assert [problem in each for each in found.problems] == [True]


def test_a_replica_that_starts_says_for_what_it_waits() -> None:
    labels = {"model": "m", "version": "1", "node": "n", "gpu": "0"}
    name = "ray_stowage_engine_starting"
    waiting = {**labels, "state": "waiting", "behind": "b@1"}
    assert starting([Sample(name, waiting, 1)]) == {"m@1": "waits for GPU 0 of n behind b@1"}
    assert starting([Sample(name, waiting, 0), Sample(name, {**labels, "state": "loading"}, 1)]) == {
        "m@1": "loads onto GPU 0 of n"
    }


def test_a_compute_share_without_effect_is_said_with_the_gpus() -> None:
    def sample(model: str, gpu: str, kept: float) -> Sample:
        labels = {"model": model, "version": "1", "node": "n", "gpu": gpu}
        return Sample("ray_stowage_compute_share_kept", labels, kept)

    samples = [sample("a", "1", 0), sample("a", "0", 0), sample("b", "0", 1)]
    assert without_share(samples) == {
        "a@1": "compute_share has no effect on GPU 0 of n, GPU 1 of n: no MPS daemon runs there"
    }
