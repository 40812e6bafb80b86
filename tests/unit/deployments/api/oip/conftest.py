from __future__ import annotations

from collections.abc import Iterator

import pytest
from tritonclient.http import InferenceServerClient


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(address) as client:
        yield client
