"""One HTTP request with a deadline, straight to a cluster's own address: never through a proxy, no redirects."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


class UnreachableError(Exception):
    """Nothing that speaks HTTP answered in time."""


def get(url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None, trusting: bool = False) -> Reply:
    """``timeout_s`` bounds connecting and each read. UnreachableError when there is no reply.

    ``trusting``: whose certificate it is does not matter, since nothing secret is sent: that of a cluster is
    seldom one of the address by which its own machine reaches it.
    """
    return _request("GET", url, timeout_s, headers or {}, trusting=trusting)


def post_json(url: str, content: object, *, timeout_s: float) -> Reply:
    """POST ``content`` as JSON; the rest as in ``get``."""
    return send_json("POST", url, content, timeout_s=timeout_s)


def send_json(
    method: str, url: str, content: object, *, timeout_s: float, headers: Mapping[str, str] | None = None
) -> Reply:
    """Any method, with ``content`` as JSON unless it is None; the rest as in ``get``."""
    if content is None:
        return _request(method, url, timeout_s, headers or {})
    body = json.dumps(content).encode()
    return _request(method, url, timeout_s, {"Content-Type": "application/json", **(headers or {})}, body)


def _request(
    method: str,
    url: str,
    timeout_s: float,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    trusting: bool = False,
) -> Reply:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = _connection(parts, timeout_s, trusting=trusting)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            return Reply(response.status, response.read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url}: {error}") from error


def _connection(parts: SplitResult, timeout_s: float, *, trusting: bool) -> http.client.HTTPConnection:
    if parts.scheme != "https":
        return http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    context = ssl.create_default_context()
    if trusting:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
