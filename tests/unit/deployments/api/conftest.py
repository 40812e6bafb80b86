from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deployments.api.app import build_app
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served


@pytest.fixture(scope="module")
def dataplane() -> FakeDataPlane:
    return FakeDataPlane()


@pytest.fixture(scope="module")
def address(dataplane: FakeDataPlane) -> Iterator[str]:
    with served(build_app(dataplane, SETTINGS)) as address:
        yield address


@pytest.fixture(scope="module")
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address}", timeout=20) as client:
        yield client
