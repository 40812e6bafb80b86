"""A start is in one state at a time, and in none when it is over."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from deployments.metrics.start import StartMetrics, report_compute_share
from models.start_lock import Holder
from models.types import VersionId

WAITING = {"state": "waiting", "behind": "other@1"}
LOADING = {"state": "loading", "behind": ""}


def test_a_start_that_waited_is_no_longer_waiting(told: list[tuple[float, dict[str, str]]]) -> None:
    metrics = StartMetrics(VersionId("minilm", "1"), "a", "0")
    metrics.wait_for(Holder(name="other@1", pid=os.getpid(), since=datetime.now(UTC)))
    metrics.start()
    metrics.end()
    metrics.end()
    assert told == [(1, WAITING), (0, WAITING), (1, LOADING), (0, LOADING)]


def test_a_start_behind_an_unknown_one(told: list[tuple[float, dict[str, str]]]) -> None:
    metrics = StartMetrics(VersionId("minilm", "1"), "a", "0")
    metrics.wait_for(None)
    metrics.end()
    assert told[0] == (1, {"state": "waiting", "behind": ""})


@pytest.mark.parametrize("kept", [True, False])
def test_whether_a_compute_share_is_kept(told: list[tuple[float, dict[str, str]]], kept: bool) -> None:
    report_compute_share(VersionId("minilm", "1"), "a", "0", kept=kept).close()
    assert told == [(int(kept), {})]
