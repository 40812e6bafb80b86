"""The fixture that keeps Ray out of unit tests really does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import ray
from ray import serve


def _init() -> None:
    ray.init()


def _call_a_task() -> None:
    ray.remote(_init).remote()


def _start_serve() -> None:
    serve.start()


@pytest.mark.parametrize("start", [_init, _call_a_task, _start_serve])
def test_nothing_starts_ray(start: Callable[[], None]) -> None:
    with pytest.raises(AssertionError, match="may not start Ray"):
        start()
