from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.server import Server
from benchmarks.windows import METRICS, Sample, Target, Windows, select
from benchmarks.wrk import Wrk

REPORT = """  Latency Distribution
     50%    2.00ms
     99%    4.00ms
  100 requests in 2.00s, 66.44KB read
"""


@pytest.fixture
def wrk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wrk:
    """A program called wrk that notes how it was called and uses some CPU."""
    calls = tmp_path / "calls"
    program = tmp_path / "wrk"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nfor i in $(seq 20000); do :; done\necho "{REPORT}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Wrk("{}", tmp_path)


def test_a_round_measures_every_target_in_alternating_order(wrk: Wrk, tmp_path: Path) -> None:
    server = Server("http://x", os.getpid())
    targets = {"ours": Target("http://x/ours", (server,)), "theirs": Target("http://x/theirs", (server, server))}
    windows = Windows(wrk, (1, 8), window_s=2)
    samples = [
        sample for number in (0, 1) for sample in windows.round("s", number, targets, {"ours": 0.1, "theirs": 0.2})
    ]
    urls = [line.split()[-1].removeprefix("http://x/") for line in (tmp_path / "calls").read_text().splitlines()]
    assert urls == ["ours", "theirs"] * 2 + ["theirs", "ours"] * 2
    assert [sample.connections for sample in samples] == [1, 1, 8, 8] * 2
    assert {(sample.requests_per_s, sample.latency_p50_ms, sample.latency_p99_ms) for sample in samples} == {
        (50, 2, 4)
    }
    # The program's CPU counts, as it descends from this process: twice for a target of two servers.
    ours, theirs = (sum(s.cpu_ms for s in samples if s.target == name) for name in ("ours", "theirs"))
    assert 0 < ours < theirs


def test_a_series_is_in_the_order_of_its_rounds() -> None:
    samples = [Sample("s", number, "t", 1, 1, 1, 1, 1, 0) for number in (2, 0, 1)]
    other = Sample("other", 0, "t", 1, 1, 1, 1, 1, 0)
    assert [sample.round for sample in select([*samples, other], "s", "t", 1)] == [0, 1, 2]


def test_what_an_idle_server_uses_is_no_cost_of_requests() -> None:
    sample = Sample(
        "s", 0, "t", 1, requests_per_s=50, latency_p50_ms=1, latency_p99_ms=1, cpu_ms=10, idle_cores=0.1
    )
    assert METRICS["CPU/request over idle"](sample) == pytest.approx(8)
