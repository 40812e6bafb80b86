from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.moto_server import moto_server


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """A real S3 server on a loopback port."""
    with moto_server() as address:
        yield address


@pytest.fixture
def s3_bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket; where it is and who may use it stands in the environment, as in production."""
    name = f"bucket-{uuid.uuid4().hex}"
    httpx.put(f"{s3_address}/{name}").raise_for_status()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_address)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://{name}"
