from __future__ import annotations

from collections.abc import Iterator

import pytest
from anthropic import Anthropic


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=f"http://{address}", api_key="none", max_retries=0, timeout=20) as client:
        yield client
