"""The load generator wrk: run it, and read what it prints."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import StowageError

_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = r"([\d.]+)(us|ms|s|m|h)"
_TOTAL = re.compile(rf"^\s*(\d+) requests in {_TIME},", re.MULTILINE)
_PERCENTILE = re.compile(rf"^\s*(\d+)%\s+{_TIME} *$", re.MULTILINE)
_FAILURES = re.compile(r"^\s*(Socket errors: .*|Non-2xx or 3xx responses: .*)$", re.MULTILINE)
# Longer than any request here takes, so that a slow answer is counted as slow and not as an error.
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class WrkReport:
    """One run. Latencies are of whole requests, in seconds."""

    num_requests: int
    duration_s: float
    latency_p50_s: float
    latency_p99_s: float

    @property
    def requests_per_s(self) -> float:
        return self.num_requests / self.duration_s


class Wrk:
    """Posts one JSON body with ``headers`` again and again. StowageError when wrk is not installed."""

    def __init__(self, body: str, folder: Path, headers: Mapping[str, str] | None = None) -> None:
        found = shutil.which("wrk")
        if found is None:
            raise StowageError("the load generator wrk is not installed", remedy="apt-get install wrk")
        self._command = found
        self._script = folder / "post.lua"
        self._script.write_text(_post_script(body, headers or {}), encoding="utf-8")

    def run(self, url: str, connections: int, duration_s: int) -> WrkReport:
        """Keep ``connections`` busy, one request at a time on each. StowageError if any request fails."""
        load = f"--threads=1 --connections={connections} --duration={duration_s}s --timeout={_TIMEOUT_S}s"
        command = [self._command, *load.split(), "--latency", f"--script={self._script}", url]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise StowageError(f"wrk ended with {ran.returncode}: {ran.stderr.strip() or ran.stdout.strip()}")
        try:
            return parse_report(ran.stdout)
        except StowageError as error:
            raise StowageError(f"{url}: {error}") from error


def parse_report(text: str) -> WrkReport:
    """Read the output of ``wrk --latency``. StowageError for failed requests: they are no measurement."""
    failures = _FAILURES.findall(text)
    if failures:
        raise StowageError(f"requests failed: {'; '.join(failures)}")
    total = _TOTAL.search(text)
    percentiles = {percent: _seconds(*time) for percent, *time in _PERCENTILE.findall(text)}
    if total is None or not {"50", "99"} <= percentiles.keys():
        raise StowageError(f"this is not the output of wrk --latency: {text!r}")
    return WrkReport(int(total[1]), _seconds(total[2], total[3]), percentiles["50"], percentiles["99"])


def _seconds(number: str, unit: str) -> float:
    return float(number) * _UNITS_S[unit]


def _post_script(body: str, headers: Mapping[str, str]) -> str:
    lines = [
        f'wrk.headers["{name}"] = "{value}"\n'
        for name, value in {"Content-Type": "application/json", **headers}.items()
    ]
    return (
        'wrk.method = "POST"\n'
        f"{''.join(lines)}"
        f"wrk.body = [==[{body}]==]\n"  # a long string of Lua, in which nothing is escaped
    )
