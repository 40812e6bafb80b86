from __future__ import annotations

import pytest

from deployments.dataplane.headers import check_request_id, presented_key, timeout_s
from models.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": "Bearer sk-1"}, "sk-1"),
        ({"authorization": "bearer  sk-1 "}, "sk-1"),
        ({"x-api-key": "sk-2"}, "sk-2"),
        ({"authorization": "Basic abc", "x-api-key": "sk-2"}, "sk-2"),
        ({"authorization": "Bearer sk-1", "x-api-key": "sk-2"}, "sk-1"),
        ({"authorization": "Basic abc"}, None),
    ],
)
def test_the_key(headers: dict[str, str], key: str | None) -> None:
    assert presented_key(headers) == key


@pytest.mark.parametrize(("given", "seconds"), [("2.5", 2.5), ("60", 60.0), ("1e-3", 0.001)])
def test_a_time(given: str, seconds: float) -> None:
    assert timeout_s({"x-request-timeout": given}, 60) == seconds


@pytest.mark.parametrize("given", ["", "0", "-1", "60.1", "nan", "inf", "1s"])
def test_no_such_time(given: str) -> None:
    with pytest.raises(InvalidRequestError, match="above 0 and up to 60"):
        timeout_s({"x-request-timeout": given}, 60)


def test_no_time_is_given() -> None:
    assert timeout_s({}, 60) is None


@pytest.mark.parametrize("given", ["", "i" * 129, "a\nb", "é"])
def test_ids_that_cannot_be_taken(given: str) -> None:
    with pytest.raises(InvalidRequestError, match="printable ASCII") as raised:
        check_request_id({"x-request-id": given})
    assert raised.value.param == "x-request-id"


@pytest.mark.parametrize("headers", [{}, {"x-request-id": "i" * 128}, {"x-request-id": "a b~"}])
def test_ids_that_can(headers: dict[str, str]) -> None:
    check_request_id(headers)
