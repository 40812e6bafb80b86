from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.open_loop import Source, arrivals, send

BUSY, CALM = Source("busy", 90), Source("calm", 10)


@given(st.integers())
def test_requests_are_due_in_order_and_within_the_time(seed: int) -> None:
    due = [due_s for due_s, _ in arrivals([BUSY, CALM], 2, Random(seed))]  # noqa: S311
    assert due == sorted(due)
    assert all(0 < due_s < 2 for due_s in due)


def test_each_source_sends_at_its_rate_and_at_random() -> None:
    due = arrivals([BUSY, CALM], 100, Random(1))  # noqa: S311
    counts = Counter(source.name for _, source in due)
    assert counts["busy"] == pytest.approx(9000, rel=0.05)
    assert counts["calm"] == pytest.approx(1000, rel=0.1)
    gaps = [later - sooner for (sooner, _), (later, _) in pairwise(due)]
    # Of a Poisson process, a share of 1/e of the gaps is longer than the mean.
    assert sum(gap > 1 / 100 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


class SlowHandler(BaseHTTPRequestHandler):
    """Answers a while after three requests are there, and refuses who says so in a header."""

    all_there = threading.Barrier(3)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.all_there.wait(20)
        threading.Event().wait(0.2)
        self.send_response(429 if self.headers["x-refuse"] else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def slow_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_nobody_waits_for_the_answer_to_another(slow_url: str) -> None:
    refused = Source("refused", 1, {"x-refuse": "yes"})
    replies = asyncio.run(send(slow_url, {}, [(0.01, BUSY), (0.02, refused), (0.03, BUSY)]))
    assert [(reply.source, reply.is_ok) for reply in replies] == [
        ("busy", True),
        ("refused", False),
        ("busy", True),
    ]
    assert all(reply.latency_s >= 0.2 for reply in replies)
