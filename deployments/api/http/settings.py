"""The limits of the HTTP interface."""

from __future__ import annotations

from dataclasses import dataclass

from models.version import VERSION

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/openapi.json"})


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What the HTTP interface allows of one request. Times are in seconds.

    ``request_timeout_s`` holds for callers that ask for no other, ``max_request_timeout_s`` is the most that they
    may ask for, ``max_body_bytes`` bounds a body before and after decompression. ``server_version`` is what the
    server's metadata says. ``adds_request_id`` is off behind a proxy that puts the request's id into the response
    by itself, as Ray Serve's do; ``is_cancelled`` is on where the server cancels a request whose client has gone,
    as Serve does too. ``public_paths`` need no API key.
    """

    request_timeout_s: float = 300.0
    max_request_timeout_s: float = 3600.0
    max_body_bytes: int = 32 * 1024 * 1024
    server_version: str = VERSION
    adds_request_id: bool = True
    is_cancelled: bool = False
    public_paths: frozenset[str] = PUBLIC_PATHS
