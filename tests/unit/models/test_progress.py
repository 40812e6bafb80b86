from __future__ import annotations

import logging

import pytest

from models.progress import LogProgress


def test_bytes_are_logged_at_most_once_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    progress = LogProgress(logging.getLogger("import"), interval_s=5, clock=lambda: now_s)
    with caplog.at_level(logging.INFO):
        progress.step("downloading")
        for now_s in (1.0, 4.0, 5.5, 6.0, 11.0):
            progress.advance(int(now_s * 1e6), 20_000_000)
    assert caplog.messages == ["downloading", "27% of 20.0 MB", "55% of 20.0 MB"]


def test_nothing_to_do_is_no_division_by_zero(caplog: pytest.LogCaptureFixture) -> None:
    progress = LogProgress(logging.getLogger("import"), interval_s=0)
    with caplog.at_level(logging.INFO):
        progress.advance(0, 0)
    assert caplog.messages == ["0% of 0.0 MB"]
