"""A client that goes away takes its work with it, within a step of the engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import ray
from openai import OpenAI
from ray import serve

from models.types import EngineStats
from tests.integration.cluster import Cluster, eventually

LONG = {
    "model": "smollm2-135m",
    "messages": [{"role": "user", "content": "Tell a very long story about the sea."}],
    "max_tokens": 1500,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def stats(cluster: Cluster) -> Iterator[Callable[[], EngineStats]]:
    """What the engine of smollm2-135m@1 counts, asked of its replica."""
    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    handle = serve.get_app_handle("smollm2-135m@1").options(method_name="stats")

    def ask() -> EngineStats:
        answer: EngineStats = handle.remote().result(timeout_s=30)
        return answer

    yield ask
    ray.shutdown()


def wait_for_running(stats: Callable[[], EngineStats], count: int) -> float:
    began = time.monotonic()
    eventually(lambda: stats().num_running == count, 20, f"{count} running requests")
    return time.monotonic() - began


def test_closing_a_stream_frees_the_engine(client: OpenAI, stats: Callable[[], EngineStats]) -> None:
    wait_for_running(stats, 0)
    stream = client.chat.completions.create(stream=True, **LONG)  # type: ignore[call-overload]
    for _ in zip(range(3), stream, strict=False):
        pass
    assert stats().num_running == 1
    stream.close()
    assert wait_for_running(stats, 0) < 3
    assert stats().num_kv_pages_used == 0


def test_leaving_a_unary_call_frees_the_engine(cluster: Cluster, stats: Callable[[], EngineStats]) -> None:
    wait_for_running(stats, 0)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{cluster.base_url}/v1/chat/completions", json=LONG, timeout=1.5)
    assert wait_for_running(stats, 0) < 3


def test_leaving_a_generate_stream_frees_the_engine(cluster: Cluster, stats: Callable[[], EngineStats]) -> None:
    wait_for_running(stats, 0)
    body = {"text_input": "A story about the sea:", "parameters": {"max_tokens": 1500, "temperature": 0}}
    url = f"{cluster.base_url}/v2/models/smollm2-135m/generate_stream"
    with httpx.stream("POST", url, json=body, timeout=60) as response:
        next(response.iter_lines())
        assert stats().num_running == 1
    assert wait_for_running(stats, 0) < 3
