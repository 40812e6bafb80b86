"""Work that is not waited for longer than its bound."""

from __future__ import annotations

from threading import Event

import pytest

from models.errors import GroupError
from models.parallel.bounded import bounded


def test_what_ends_in_time_is_given() -> None:
    assert bounded(lambda: 7, 20, "counting") == 7


def test_what_fails_in_time_is_raised_as_it_is() -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        bounded(fail, 20, "counting")


def test_what_takes_longer_is_left_and_named() -> None:
    ends = Event()
    with pytest.raises(GroupError, match=r"counting took longer than 0\.05 s"):
        bounded(ends.wait, 0.05, "counting")
    ends.set()
