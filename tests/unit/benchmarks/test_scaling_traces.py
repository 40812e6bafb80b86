"""Recorded and made traces."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scaling_traces
from benchmarks.scaling_traces import Made, Request, Trace, azure, mooncake, recorded
from models.errors import InvalidRequestError

LIKE = Trace("like", (Request(0.0, 10, 5), Request(1.0, 20, 7)))


def test_azures_rows_begin_at_zero(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:15:46.6805900,374,44"]
    file.write_text("\n".join([*rows, "2023-11-16 18:15:50.9951690,396,0"]), encoding="utf-8")
    first, second = azure("conv", file).requests
    assert first == Request(0.0, 374, 44)
    assert (round(second.at, 3), second.output_tokens) == (4.315, 1)


def test_mooncakes_milliseconds_are_seconds(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text(
        '{"timestamp": 1500, "input_length": 6758, "output_length": 500, "hash_ids": []}\n', encoding="utf-8"
    )
    assert mooncake("mooncake", file).requests == (Request(1.5, 6758, 500),)


def test_a_missing_trace_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scaling_traces, "TRACES", tmp_path)
    with pytest.raises(InvalidRequestError, match="AzureLLMInferenceTrace_conv"):
        recorded("conv")


def test_made_ones_have_the_rates_and_lengths_that_are_said() -> None:
    made = Made("step", ((0.0, 2.0), (1000.0, 8.0)), 2000.0, LIKE, seed=1, change_s=1000.0)
    trace = made.trace()
    before, after = (len(trace.part("", start, start + 1000.0).requests) for start in (0.0, 1000.0))
    assert 1850 < before < 2150
    assert 7700 < after < 8300
    assert {each.prompt_tokens for each in trace.requests} == {10, 20}
    assert made.trace() == trace


def test_a_rate_of_zero_is_silence() -> None:
    trace = Made("silence", ((0.0, 5.0), (100.0, 0.0), (200.0, 5.0)), 300.0, LIKE, seed=1).trace()
    assert not trace.part("", 100.0, 200.0).requests
    assert trace.part("", 200.0, 300.0).requests


def test_parts_begin_at_zero_and_faster_ones_are_shorter() -> None:
    assert LIKE.part("", 1.0, 2.0).requests == (Request(0.0, 20, 7),)
    assert LIKE.faster("", 4.0).requests[1].at == 0.25
    assert LIKE.thinned("", 0.0, seed=1).requests == ()
