from __future__ import annotations

import pytest

from deployments.state.location import DEFAULT_STATE, check_shared, state_url
from models.errors import StateError


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/stowage/state.db",
        "postgresql://stowage:pass%40word@db.internal:5433/state?sslmode=require",
    ],
)
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert state_url(url, {}) == url


def test_the_default_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert state_url(DEFAULT_STATE, {}) == "sqlite:////home/ann/.stowage/state.db"


def test_a_variable_can_hold_the_url() -> None:
    assert state_url("env:STATE", {"STATE": "postgresql://u:p@h/d"}) == "postgresql://u:p@h/d"


def test_the_variable_must_be_there() -> None:
    with pytest.raises(StateError, match=r"env:STATE.*\(set STATE\)"):
        state_url("env:STATE", {})


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        ("mysql://root:hunter2@h/d", "a URL with mysql"),
        ("postgresql+asyncpg://root:hunter2@h/d", r"a URL with postgresql\+asyncpg"),
        ("hunter2", "no scheme at all"),
        ("sqlite://", "no scheme|a URL with sqlite"),
        ("sqlite:///state.db", "'state.db' is no absolute path"),
        ("sqlite:////state.db?mode=ro", "no absolute path"),
    ],
)
def test_what_cannot_be_a_database_is_refused_without_its_password(location: str, complaint: str) -> None:
    with pytest.raises(StateError, match=complaint) as caught:
        state_url(location, {})
    assert "hunter2" not in str(caught.value)
    assert "postgresql://user:password@host/database" in str(caught.value)


def test_a_file_for_each_node_is_not_shared() -> None:
    url = "sqlite:////var/lib/state.db"
    with pytest.raises(StateError, match=r"2 router replicas may be on 3 nodes.*\(write state: postgresql://"):
        check_shared(url, 2, 3)
    check_shared(url, 2, 1)
    check_shared(url, 1, 3)
    check_shared("postgresql://u:p@h/d", 2, 3)
