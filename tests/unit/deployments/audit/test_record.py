"""A record is one line of JSON, and comes back from it as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.audit.record import AdminRecord, LostRecords, Record, SegmentStart, decode_record, encode_record
from tests.unit.deployments.audit.journals import START, request

ADMIN = AdminRecord(
    id="admin-7", time=START, actor="cli:ann", action="key.create", subject="abcd1234", details={"expires": None}
)
LOST = LostRecords(time=START, since=START, count=3, reason="no space left")
BEGIN = SegmentStart(time=START, writer="router-1", number=2, follows="0" * 64, torn_bytes=9)


@pytest.mark.parametrize("record", [request(), request(key=None, text="hi"), ADMIN, LOST, BEGIN])
def test_it_comes_back_as_it_was(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


def test_it_is_short_and_plain() -> None:
    written = json.loads(encode_record(request(total_ms=12.3456789)))
    assert written["time"] == "2026-07-31T09:05:00.000Z"
    assert written["total_ms"] == 12.346
    assert written["attempts"] == [{"target": "tiny@1", "outcome": "ok", "ms": 79.25}]
    assert written["charges"] == [["key", "abcd1234", "tokens_per_day", 1785456000]]
    assert "text" not in written
    assert "first_token_ms" not in written


@given(st.text(st.characters(), max_size=50))
def test_any_text_stays_on_one_line_and_comes_back(text: str) -> None:
    encoded = encode_record(request(text=text))
    assert b"\n" not in encoded
    expected = text.encode(errors="replace").decode()
    assert decode_record(encoded) == replace(request(), text=expected)


def test_half_a_surrogate_pair_is_replaced() -> None:
    found = decode_record(encode_record(request(asked="tiny\ud83d")))
    assert found == request(asked="tiny?")


def test_what_a_caller_writes_cannot_fill_the_disk() -> None:
    found = request(asked="x" * 10_000, operation="/" * 10_000)
    assert (found.asked, found.operation) == ("x" * 256, "/" * 256)


def test_what_a_later_release_adds_is_passed_over() -> None:
    later = encode_record(request()).replace(b'{"id"', b'{"colour":"blue","id"')
    assert decode_record(later) == request()


@pytest.mark.parametrize("line", [b"{}", b"[]", b'{"kind":"other"}', b'{"kind":"request"}', b"\xff"])
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(ValidationError):
        decode_record(line)


def test_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_record(request(total_ms=float("nan")))
