"""A client that goes away takes its work with it, within a step of the engine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from openai import OpenAI

from tests.integration.cluster import ROOT, Cluster, end, eventually

LONG = {
    "model": "smollm2-135m",
    "messages": [{"role": "user", "content": "Tell a very long story about the sea."}],
    "max_tokens": 1500,
    "temperature": 0,
}


# In a process of its own: a driver reads RAY_AUTH_MODE when it is loaded, and this one's Ray is loaded already.
PROBE = """
import logging, sys
import ray
from ray import serve

ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
handle = serve.get_app_handle("smollm2-135m@1").options(method_name="stats")
for _ in sys.stdin:
    stats = handle.remote().result(timeout_s=30)
    print("stats", stats.num_running, stats.num_kv_pages_used, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine counts: requests that run, and pages of the KV cache that they hold."""

    num_running: int
    num_kv_pages_used: int


@pytest.fixture(scope="module")
def stats(cluster: Cluster) -> Iterator[Callable[[], Load]]:
    """Asks the replica of smollm2-135m@1."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROBE, cluster.ray_address],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_AUTH_MODE": "token"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    requests, replies = process.stdin, process.stdout

    def ask() -> Load:
        requests.write("\n")
        requests.flush()
        words = next(line.split() for line in replies if line.startswith("stats"))
        return Load(int(words[1]), int(words[2]))

    try:
        yield ask
        process.communicate(timeout=30)
    finally:
        end([process])


def wait_for_running(stats: Callable[[], Load], count: int) -> float:
    began = time.monotonic()
    eventually(lambda: stats().num_running == count, 20, f"{count} running requests")
    return time.monotonic() - began


def test_closing_a_stream_frees_the_engine(client: OpenAI, stats: Callable[[], Load]) -> None:
    wait_for_running(stats, 0)
    stream = client.chat.completions.create(stream=True, **LONG)  # type: ignore[call-overload]
    for _ in zip(range(3), stream, strict=False):
        pass
    assert stats().num_running == 1
    stream.close()
    assert wait_for_running(stats, 0) < 3
    assert stats().num_kv_pages_used == 0


def test_leaving_a_unary_call_frees_the_engine(cluster: Cluster, stats: Callable[[], Load]) -> None:
    wait_for_running(stats, 0)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{cluster.base_url}/v1/chat/completions", json=LONG, timeout=1.5)
    assert wait_for_running(stats, 0) < 3


def test_leaving_a_generate_stream_frees_the_engine(cluster: Cluster, stats: Callable[[], Load]) -> None:
    wait_for_running(stats, 0)
    body = {"text_input": "A story about the sea:", "parameters": {"max_tokens": 1500, "temperature": 0}}
    url = f"{cluster.base_url}/v2/models/smollm2-135m/generate_stream"
    with httpx.stream("POST", url, json=body, timeout=60) as response:
        next(response.iter_lines())
        assert stats().num_running == 1
    assert wait_for_running(stats, 0) < 3
