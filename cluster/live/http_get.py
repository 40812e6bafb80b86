"""One HTTP request with a deadline, straight to a cluster's own address: never through a proxy, no redirects."""

from __future__ import annotations

import http.client
import json
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
    return _request("GET", url, timeout_s, headers or {})


def post_json(url: str, content: object, *, timeout_s: float) -> Reply:
    """POST ``content`` as JSON; the rest as in ``get``."""
    body = json.dumps(content).encode()
    return _request("POST", url, timeout_s, {"Content-Type": "application/json"}, body)


def _request(
    method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes | None = None
) -> Reply:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    try:
        connection = connect(parts.netloc, timeout=timeout_s)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            return Reply(response.status, response.read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url}: {error}") from error
