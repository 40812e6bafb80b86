"""One real cluster for the whole session; tests that change it put it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.integration.cluster import Cluster, demo_config, free_port
from tests.integration.gpu_nodes import applications, nodes
from tests.integration.postgres import postgres_server, postgres_url

__all__ = ["applications", "client", "cluster", "nodes", "postgres_server", "postgres_url", "store_folder"]


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, so that the first start really imports and converts."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def cluster(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """``stowage serve`` with the three demonstration models, ready."""
    running = Cluster(demo_config(store_folder, free_port()), tmp_path_factory.mktemp("cluster"))
    try:
        running.wait_until_announced(timeout_s=300)
        yield running
    finally:
        running.interrupt()


@pytest.fixture(scope="session")
def client(cluster: Cluster) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{cluster.base_url}/v1", api_key="none", max_retries=0, timeout=120) as opened:
        yield opened
