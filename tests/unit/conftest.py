from __future__ import annotations

import sys
from typing import NoReturn

import pytest
from hypothesis import settings

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    raise AssertionError("unit tests may not start Ray; put this test under tests/integration")


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray has one way in: Serve, and Ray's own start on first use, all call ``ray.init``."""
    ray = sys.modules.get("ray")
    if ray is not None:
        monkeypatch.setattr(ray, "init", _refuse)
