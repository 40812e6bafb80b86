"""A model divided by vLLM between processes of its replica, in the session's cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.cluster import Cluster, eventually
from tests.integration.groups import MODEL, QUESTIONS, answers, group_app
from tests.integration.test_vllm_engine import PYTHON

NAME = f"{MODEL}@vllm"
ASKED = QUESTIONS[:4]

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-vllm here: make vllm-env sets it up")


@pytest.fixture
def divided(cluster: Cluster, store_folder: Path) -> Iterator[Cluster]:
    config = cluster.edited()
    app = group_app(store_folder, "vllm", engine="vllm", vllm_python=str(PYTHON), parallel={"pipeline": 2})
    config["applications"].append(app)
    cluster.deploy(config)
    try:
        cluster.wait_status(NAME, "ready", 240)
        yield cluster
    finally:
        cluster.restore()


def test_stages_of_vllm_answer_as_the_whole_model_and_end_with_their_replica(divided: Cluster) -> None:
    (replica,) = divided.pids(NAME)
    started = psutil.Process(replica).children(recursive=True)
    assert sum(process.name().startswith("VLLM::Worker") for process in started) == 2
    assert answers(divided, NAME, ASKED) == answers(divided, f"{MODEL}@1", ASKED)

    os.kill(replica, signal.SIGKILL)

    eventually(lambda: not any(each.is_running() for each in started), 30, "no process of vLLM is left")
