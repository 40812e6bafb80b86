from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.wrk import Wrk, parse_report
from models.errors import StowageError

REPORT = """Running 2s test @ http://127.0.0.1:8101/chain/infer
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    57.36ms   12.05ms 110.20ms   80.11%
    Req/Sec   139.47     33.63   212.00     65.00%
  Latency Distribution
     50%   {p50}
     75%   62.01ms
     90%   71.93ms
     99%   {p99}
  280 requests in {duration}, 66.44KB read
Requests/sec:    139.57
Transfer/sec:     33.12KB
"""


def report(p50: str = "55.83ms", p99: str = "108.36ms", duration: str = "2.01s") -> str:
    return REPORT.format(p50=p50, p99=p99, duration=duration)


def test_latencies_are_in_seconds_and_the_rate_is_not_rounded() -> None:
    seen = parse_report(report())
    assert seen.latency_p50_s == pytest.approx(0.05583)
    assert seen.latency_p99_s == pytest.approx(0.10836)
    assert seen.requests_per_s == pytest.approx(280 / 2.01)


@pytest.mark.parametrize(
    ("written", "seconds"), [("812.00us", 812e-6), ("1.53ms", 1.53e-3), ("1.53s", 1.53), ("1.02m", 61.2)]
)
def test_every_unit_is_read(written: str, seconds: float) -> None:
    assert parse_report(report(p50=written, p99=written)).latency_p50_s == pytest.approx(seconds)
    assert parse_report(report(duration=written)).duration_s == pytest.approx(seconds)


def test_a_time_that_wrk_pads_is_read() -> None:
    assert parse_report(report(p99="1.00s ")).latency_p99_s == 1


@pytest.mark.parametrize(
    "failure", ["  Non-2xx or 3xx responses: 3", "  Socket errors: connect 0, read 7, write 0, timeout 1"]
)
def test_failed_requests_are_no_measurement(failure: str) -> None:
    text = report().replace("Requests/sec", f"{failure}\nRequests/sec")
    with pytest.raises(StowageError, match=failure.strip()):
        parse_report(text)


@pytest.mark.parametrize("missing", ["280 requests in 2.01s, 66.44KB read", "99%   108.36ms"])
def test_a_report_without_its_sums_is_refused(missing: str) -> None:
    with pytest.raises(StowageError, match="not the output of wrk --latency"):
        parse_report(report().replace(missing, ""))


def test_a_missing_wrk_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StowageError, match=r"wrk is not installed \(apt-get install wrk\)"):
        Wrk("{}", tmp_path)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program called wrk that prints how it was called, so that the call is seen in the error."""
    program = tmp_path / "wrk"
    program.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_the_body_is_posted_unescaped(installed: Path) -> None:
    body = '{"inputs": [[1, 2], [3]], "text": "a\\nb"}'
    with pytest.raises(StowageError, match=r"wrk ended with 3: .*--connections=8 --duration=2s") as error:
        Wrk(body, installed).run("http://127.0.0.1:1/", connections=8, duration_s=2)
    script = str(error.value).partition("--script=")[2].split()[0]
    assert f"wrk.body = [==[{body}]==]" in Path(script).read_text()


def test_headers_are_sent_with_every_request(installed: Path) -> None:
    with pytest.raises(StowageError) as error:
        Wrk("{}", installed, {"Authorization": "Bearer k"}).run("http://127.0.0.1:1/", connections=1, duration_s=1)
    script = Path(str(error.value).partition("--script=")[2].split()[0]).read_text()
    assert 'wrk.headers["Authorization"] = "Bearer k"' in script
    assert 'wrk.headers["Content-Type"] = "application/json"' in script
