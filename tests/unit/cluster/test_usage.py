"""``stowage usage`` on a real SQLite file."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from deployments.audit.record import Outcome
from deployments.state.database import Database
from deployments.state.usage import add_usage
from tests.unit.cluster.conftest import Stowage
from tests.unit.deployments.state.journals import request


@pytest.fixture
def state(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/state.db"
    with Database.open(url) as database, database.transaction() as connection:
        early = datetime(2027, 1, 14, tzinfo=UTC)
        refused = request(0, key=None, model=None, version=None, outcome=Outcome.REFUSED)
        add_usage(
            connection, [request(100), request(60, time=early, version="2", cost_nano=2_500_000_000), refused]
        )
    return url


def test_models_are_told_apart_unless_something_else_is_asked_for(stowage: Stowage, state: str) -> None:
    header, *rows = stowage("usage", "--state", state).out.splitlines()
    assert header.split() == ["model", "requests", "input", "tokens", "output", "tokens", "cost"]
    assert [row.split() for row in rows] == [["-", "1", "0", "0", "0"], ["smol", "2", "120", "40", "2.500001"]]


def test_json_has_the_same_and_exact_money(stowage: Stowage, state: str) -> None:
    printed = stowage("usage", "--by", "key", "--by", "version", "--state", state, "--json").json
    nothing = {"requests": 1, "input_tokens": 0, "output_tokens": 0, "cost": "0"}
    assert printed[0] == {"key": None, "version": None, **nothing}
    assert [(row["version"], row["cost"]) for row in printed[1:]] == [("1", "0.000001"), ("2", "2.5")]


def test_csv_is_one_line_for_each_total(stowage: Stowage, state: str) -> None:
    printed = stowage("usage", "--by", "day", "--since", "2027-01-15", "--state", state, "--csv").out
    (row,) = csv.DictReader(StringIO(printed))
    expected = {"day": "2027-01-15", "requests": "2", "input_tokens": "75", "output_tokens": "25"}
    assert row == {**expected, "cost": "0.000001"}


def test_days_without_usage_have_none(stowage: Stowage, state: str) -> None:
    assert stowage("usage", "--until", "2026-12-31", "--state", state).out == "no usage\n"
    assert stowage("usage", "--until", "2026-12-31", "--state", state, "--json").json == []


def test_a_wrong_date_is_a_usage_error(stowage: Stowage, state: str) -> None:
    outcome = stowage("usage", "--since", "yesterday", "--state", state)
    assert outcome.code == 2
    assert "yesterday" in outcome.err
