"""One HTTP GET with a deadline, straight to a cluster's own address: never through a proxy, no redirects."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


class UnreachableError(Exception):
    """Nothing that speaks HTTP answered in time."""


def get(url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> Reply:
    """``timeout_s`` bounds connecting and each read. UnreachableError when there is no reply."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    try:
        connection = connect(parts.netloc, timeout=timeout_s)
        try:
            connection.request("GET", parts.path or "/", headers=dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url}: {error}") from error
