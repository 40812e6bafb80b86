"""Errors cross process boundaries whole, and say what to do."""

from __future__ import annotations

import pickle

import pytest

from models import errors
from models.errors import (
    ContextLengthError,
    InvalidRequestError,
    ModelUnavailableError,
    OverloadedError,
    StowageError,
    error_code,
)

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StowageError)]


def pickled(error: StowageError) -> StowageError:
    copy: StowageError = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    return copy


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_pickling(kind: type[StowageError]) -> None:
    copy = pickled(kind("13 is too many", remedy="use 12"))
    assert type(copy) is kind
    assert (copy.message, copy.remedy, str(copy)) == ("13 is too many", "use 12", "13 is too many (use 12)")


def test_the_field_at_fault_survives_pickling() -> None:
    copy = pickled(ContextLengthError("too long", param="prompt"))
    assert isinstance(copy, InvalidRequestError)
    assert copy.param == "prompt"


def test_the_waiting_time_survives_pickling() -> None:
    copy = pickled(OverloadedError("full", retry_after_s=1.5))
    assert isinstance(copy, ModelUnavailableError)
    assert copy.retry_after_s == 1.5


def test_without_a_remedy_the_message_stands_alone() -> None:
    assert str(StowageError("it broke")) == "it broke"


def test_the_code_of_an_error_is_its_name_and_tells_nothing_of_what_is_not_ours() -> None:
    assert error_code(ContextLengthError("too long")) == "context_length"
    assert error_code(ZeroDivisionError("a prompt, perhaps")) == "internal"
    assert [error_code(kind) for kind in (ContextLengthError, KeyError)] == ["context_length", "internal"]
