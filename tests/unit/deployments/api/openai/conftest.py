from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=20) as client:
        yield client
