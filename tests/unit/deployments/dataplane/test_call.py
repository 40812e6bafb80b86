from __future__ import annotations

import asyncio

import pytest

from deployments.dataplane.call import Call
from models.errors import DeadlineExceededError


async def test_the_time_that_is_left() -> None:
    call = Call.start("r", 5)
    assert 4 < call.remaining_s() <= 5
    assert call.shortened(9) == call
    assert 0 < call.shortened(1).remaining_s() <= 1
    with pytest.raises(DeadlineExceededError, match=r"limit of 0 s passed"):
        Call.start("r", 0).remaining_s()


async def test_the_limit_cancels_and_explains() -> None:
    with pytest.raises(DeadlineExceededError, match="x-request-timeout"):
        async with Call.start("r", 0.01).limit():
            await asyncio.sleep(5)


async def test_a_timeout_of_someone_else_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError, match="not mine"):
        async with Call.start("r", 5).limit():
            raise TimeoutError("not mine")
