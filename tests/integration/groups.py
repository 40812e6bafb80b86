"""Models divided over several processes, in the session's cluster: how tests deploy them and look at them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.integration.cluster import Cluster, Config

MODEL = "smollm2-135m"
QUESTIONS = tuple(f"What comes after the number {number}? Say why it is so." for number in range(8))
NUM_TOKENS = 24
TIMEOUT_S = 60

_WORKER = "RankWorker"


def group_app(store: Path, version: str, **args: Any) -> Config:
    """A version whose weights are those of the demonstration's, which the store has already."""
    return {
        "name": f"{MODEL}@{version}",
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {
            "model": MODEL,
            "version": version,
            "source": source_in(store),
            "task": "generate",
            "store": str(store),
            "num_cpus": 0.05,
            "limits": {"max_model_len": 512, "max_num_seqs": 8},
            **args,
        },
    }


def source_in(store: Path) -> str:
    return f"file:{store / MODEL / '1'}"


def worker_pids(cluster: Cluster, name: str = "") -> list[int]:
    """The processes of the ranks but the first of the groups of one application, or of all; by rank."""
    workers = [
        each for each in cluster.ray_state("actors") if each["class_name"] == _WORKER and each["state"] == "ALIVE"
    ]
    own = [each for each in workers if f"::{name}" in each["name"]]
    return [int(each["pid"]) for each in sorted(own, key=lambda each: int(each["name"].rpartition(" ")[2]))]


def processes(cluster: Cluster, name: str) -> list[int]:
    """Of each rank of the one group of an application, rank 0 first."""
    return [*cluster.pids(name), *worker_pids(cluster, name)]


def chat(name: str, question: str, **fields: object) -> dict[str, object]:
    return {
        "model": name,
        "temperature": 0,
        "max_tokens": NUM_TOKENS,
        "messages": [{"role": "user", "content": question}],
        **fields,
    }


def answers(cluster: Cluster, name: str, questions: Sequence[str] = QUESTIONS) -> list[str]:
    """Greedily, all at the same time."""

    replies = ask_all(cluster, name, questions)
    assert {reply.status_code for reply in replies} == {200}, [reply.text for reply in replies]
    return [text_of(reply) for reply in replies]


def ask_all(cluster: Cluster, name: str, questions: Sequence[str] = QUESTIONS) -> list[httpx.Response]:
    """As ``answers``, whatever comes back."""
    url = f"{cluster.base_url}/v1/chat/completions"
    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(lambda each: httpx.post(url, json=chat(name, each), timeout=TIMEOUT_S), questions))


def text_of(reply: httpx.Response) -> str:
    return str(reply.json()["choices"][0]["message"]["content"])


class Stream:
    """One long answer, read in a thread: its pieces, and the error that ended it, if one did."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.pieces: list[str] = []
        self.error: str | None = None
        self._url = f"{cluster.base_url}/v1/chat/completions"
        self._body = chat(name, "Write a long story about a ship.", stream=True, max_tokens=400)

    def read(self) -> None:
        with httpx.stream("POST", self._url, json=self._body, timeout=TIMEOUT_S) as reply:
            for line in reply.iter_lines():
                self._take(line.removeprefix("data: "))

    def _take(self, data: str) -> None:
        if not data or data == "[DONE]":
            return
        event = json.loads(data)
        if "error" in event:
            self.error = event["error"]["message"]
        else:
            self.pieces.append(event["choices"][0]["delta"].get("content") or "")
