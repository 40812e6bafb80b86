from __future__ import annotations

import inspect
from urllib.parse import quote

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from deployments.grpc.errors import Failure, code_of, report
from models import errors
from models.errors import (
    EngineError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    QuotaExceededError,
    StateUnavailableError,
    StowageError,
    WrongTaskError,
)

ERRORS = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, StowageError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_a_code(kind: type[StowageError]) -> None:
    failure = report(kind("it went wrong", remedy="do this"), "r-1")
    assert failure.message == "it went wrong (do this)"
    assert failure.code is not StatusCode.OK


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WrongTaskError("x"), StatusCode.INVALID_ARGUMENT),
        (ModelNotFoundError("x"), StatusCode.NOT_FOUND),
        (OverloadedError("x"), StatusCode.RESOURCE_EXHAUSTED),
        (StateUnavailableError("x"), StatusCode.UNAVAILABLE),
        (EngineError("x"), StatusCode.INTERNAL),
        (ValueError("x"), StatusCode.INTERNAL),
    ],
)
def test_codes(error: Exception, code: StatusCode) -> None:
    assert code_of(error) is code


@pytest.mark.parametrize(
    ("error", "metadata"),
    [
        (ModelUnavailableError("x", retry_after_s=2.5), {"retry-after-ms": "2500"}),
        (QuotaExceededError("x", retry_after_s=0.0001), {"retry-after-ms": "1"}),
        (ModelNotFoundError("x"), {}),
    ],
)
def test_hints_of_when_to_come_again(error: StowageError, metadata: dict[str, str]) -> None:
    assert report(error, "r-1").metadata == metadata


def test_what_nobody_raised_on_purpose_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    failure = report(RuntimeError("the secret cause"), "r-1")
    assert failure == Failure(
        StatusCode.INTERNAL, "internal error; the server's log has the details of request r-1"
    )
    assert "the secret cause" in caplog.text


@given(st.text(max_size=300), st.integers(0, 40))
def test_a_message_always_fits_into_a_status(text: str, times: int) -> None:
    said = text.encode(errors="ignore").decode() * times
    message = report(ModelNotFoundError(said), "r-1").message
    assert len(quote(message, safe=" ")) < 8000 or message.isascii()
    assert len(message) < 7000
    assert message == said or (message.endswith(" ...") and said.startswith(message[:-8]))
