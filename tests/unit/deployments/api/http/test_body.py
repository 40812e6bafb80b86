from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from deployments.api.http.body import read_body
from models.errors import InvalidRequestError


def arriving(chunks: Sequence[bytes]) -> Receive:
    messages = iter(
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    )

    async def receive() -> Message:
        return next(messages)

    return receive


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
async def test_chunks_are_joined_up_to_the_limit(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    assert await read_body(Headers(), arriving(chunks), len(whole)) == whole
    with pytest.raises(HTTPException) as caught:
        await read_body(Headers(), arriving([*chunks, b"x"]), len(whole))
    assert caught.value.status_code == 413


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=300))
async def test_compression_round_trip(encoding: str, plain: bytes) -> None:
    packed = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    headers = Headers({"content-encoding": encoding.upper()})
    assert await read_body(headers, arriving([packed]), 400) == plain
    for damaged in (packed[:-1], packed + b"x"):
        with pytest.raises(InvalidRequestError, match=encoding):
            await read_body(headers, arriving([damaged]), 400)


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=100))
async def test_any_bytes_are_unpacked_or_refused(encoding: str, packed: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        await read_body(Headers({"content-encoding": encoding}), arriving([packed]), 1000)


async def test_the_declared_length_is_enough_to_refuse() -> None:
    with pytest.raises(HTTPException) as caught:
        await read_body(Headers({"content-length": "11"}), arriving([]), 10)
    assert caught.value.status_code == 413
