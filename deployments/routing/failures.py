"""What kind of failure an error is, so that an operator can say what follows from each kind."""

from __future__ import annotations

from enum import StrEnum

from models.errors import (
    ContextLengthError,
    DeadlineExceededError,
    EngineError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
)


class Failure(StrEnum):
    """Failures that another model may be spared; its members are the keys of ``fallbacks``."""

    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    DEADLINE = "deadline"
    CONTEXT_TOO_LONG = "context_too_long"


def classify(error: BaseException) -> Failure | None:
    """None for what would fail anywhere: the caller's mistakes and limits, cancellation, and defects of ours."""
    for kinds, failure in _KINDS:
        if isinstance(error, kinds):
            return failure
    return None


# The first that fits counts: an overloaded model is an unavailable one too.
_KINDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Failure], ...] = (
    (OverloadedError, Failure.OVERLOADED),
    ((ModelUnavailableError, ModelNotFoundError, EngineError), Failure.UNAVAILABLE),
    (DeadlineExceededError, Failure.DEADLINE),
    (ContextLengthError, Failure.CONTEXT_TOO_LONG),
)
