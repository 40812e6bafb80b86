"""Which error is which kind of failure."""

from __future__ import annotations

import asyncio

import pytest

from deployments.routing.failures import Failure, classify
from models import errors


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (errors.ModelUnavailableError("m"), Failure.UNAVAILABLE),
        (errors.ModelNotFoundError("m"), Failure.UNAVAILABLE),
        (errors.EngineError("m"), Failure.UNAVAILABLE),
        (errors.OverloadedError("m"), Failure.OVERLOADED),
        (errors.DeadlineExceededError("m"), Failure.DEADLINE),
        (errors.ContextLengthError("m"), Failure.CONTEXT_TOO_LONG),
    ],
)
def test_what_another_model_may_be_spared(error: Exception, failure: Failure) -> None:
    assert classify(error) is failure


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequestError("m"),
        errors.WrongTaskError("m"),
        errors.QuotaExceededError("m"),
        errors.AuthenticationError("m"),
        errors.PermissionDeniedError("m"),
        KeyError("a defect"),
        asyncio.CancelledError(),
    ],
)
def test_what_would_fail_anywhere(error: BaseException) -> None:
    assert classify(error) is None
