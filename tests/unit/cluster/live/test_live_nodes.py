from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.live.dashboard import Dashboard
from cluster.live.live_nodes import NODES_PATH
from models.devices import device_named
from models.errors import ConfigError, StowageError
from tests.unit.cluster.conftest import Answer, HttpServer

GIB = 1024**3
# Recorded from Ray 2.60.0: a head, and a node with --num-gpus=2 and labels, on one machine.
RECORDED = Path(__file__).parent / "data" / "ray_2_60_nodes.json"
HEAD_ID = "ac0046424613e06716bd24f9e3941283796888574b180eeda6cf6cd1"


def changed(old: str, new: str) -> bytes:
    text = RECORDED.read_text()
    assert old in text
    return text.replace(old, new).encode()


def test_the_nodes_of_a_live_cluster(http_server: HttpServer) -> None:
    http_server.answers[NODES_PATH] = Answer(200, RECORDED.read_bytes())
    head, gpu = Dashboard(http_server.url, "secret").nodes()
    assert (head.name, head.num_cpus, head.memory_bytes, head.gpu) == (HEAD_ID, 1.0, 4 * GIB, None)
    assert (gpu.name, gpu.num_cpus, gpu.memory_bytes) == ("gpu-0", 2.0, 8 * GIB)
    assert (gpu.gpu, gpu.num_devices) == (device_named("a100-80gb"), 2)
    assert http_server.authorization == ["Bearer secret"]


def test_a_dead_node_is_none(http_server: HttpServer) -> None:
    reply = json.loads(RECORDED.read_bytes())
    reply["data"]["result"]["result"][1]["state"] = "DEAD"
    http_server.answers[NODES_PATH] = Answer(200, json.dumps(reply).encode())
    (head,) = Dashboard(http_server.url).nodes()
    assert head.labels == {"ray.io/node-id": HEAD_ID}


def test_a_gpu_that_ray_does_not_tell_apart_needs_our_label(http_server: HttpServer) -> None:
    http_server.answers[NODES_PATH] = Answer(200, changed("stowage.io/device", "rack"))
    with pytest.raises(ConfigError, match=r"node gpu-0 is not known: Ray calls them A100, which may be a100-40gb"):
        Dashboard(http_server.url).nodes()


def test_another_reply_is_explained(http_server: HttpServer) -> None:
    http_server.answers[NODES_PATH] = Answer(200, b'{"result": true, "data": {}}')
    with pytest.raises(StowageError, match="did not answer like a Ray dashboard"):
        Dashboard(http_server.url).nodes()
