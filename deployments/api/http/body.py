"""Reading a request's body: bounded in size, and decompressed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from models.errors import InvalidRequestError

# zlib's wbits: a gzip container, and the zlib container that HTTP calls "deflate" (RFC 9110, section 8.4.1).
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(headers: Mapping[str, str], receive: Receive, max_bytes: int) -> bytes:
    """The body as the client wrote it; ``headers`` have their names in lower case.

    HTTPException 413 when it is, or unpacks to, more than ``max_bytes``, 415 for an unknown Content-Encoding;
    InvalidRequestError when it cannot be unpacked; ClientDisconnect when the client left before its end.
    """
    encoding = _content_encoding(headers)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = await _receive_all(receive, max_bytes)
    return body if encoding == "identity" else _decompress(body, encoding, max_bytes)


def _content_encoding(headers: Mapping[str, str]) -> str:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"content-encoding {encoding!r} is not supported; use gzip, deflate or none",
            {"Accept-Encoding": "gzip, deflate"},
        )
    return encoding


async def _receive_all(receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    num_bytes = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"the body is not valid {encoding}: {error}") from error
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidRequestError(f"the body is not exactly one complete {encoding} stream")
    return plain


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than the limit of {max_bytes} bytes"
    )
