from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deployments.api.app import build_app
from deployments.api.settings import ApiSettings

from .fake import FakeDataPlane
from .live import served

SETTINGS = ApiSettings(request_timeout_s=20, max_request_timeout_s=60, max_body_bytes=64 * 1024)


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
