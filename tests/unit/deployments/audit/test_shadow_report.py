"""Pairs of requests and their copies."""

from __future__ import annotations

from deployments.audit.record import Attempt, Outcome, RequestRecord
from deployments.audit.shadow_report import ShadowComparison, compare_shadows
from tests.unit.deployments.audit.journals import request

ORIGINALS = [request(number, id=f"r{number}", version="1", engine_ms=10.0) for number in range(4)]


def copy(number: int, **changes: object) -> RequestRecord:
    usual = {"id": f"s{number}", "shadow_of": f"r{number}", "version": "2", "engine_ms": 30.0, "agrees": True}
    return request(number, **{**usual, **changes})


def test_copies_are_held_against_their_originals() -> None:
    sent = (Attempt("tiny@2", "engine", 1),)
    failed = copy(2, outcome=Outcome.FAILED, model=None, version=None, agrees=None, attempts=sent)
    copies = [copy(0), copy(1, agrees=False, engine_ms=10.0), failed, copy(3, engine_ms=15.0, agrees=None)]
    assert compare_shadows([*copies, *ORIGINALS]) == [
        ShadowComparison("tiny@1", "tiny@2", 4, num_failed=1, num_compared=2, num_agreed=1, latency_ratio=1.5)
    ]


def test_versions_are_told_apart_and_strays_left_out() -> None:
    stray = copy(0, shadow_of="pruned")
    found = compare_shadows([*ORIGINALS, copy(0), copy(1, version="3", engine_ms=None), stray])
    assert [(each.shadow, each.num_copies, each.latency_ratio) for each in found] == [
        ("tiny@2", 1, 3.0),
        ("tiny@3", 1, None),
    ]


def test_without_copies_there_is_nothing_to_compare() -> None:
    assert compare_shadows(ORIGINALS) == []
