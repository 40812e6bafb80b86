"""A real HTTP server on a loopback port, for real clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from deployments.api.http.settings import ApiSettings
from tests.certificates import Certificate

SETTINGS = ApiSettings(request_timeout_s=20, max_request_timeout_s=60, max_body_bytes=64 * 1024)
START_TIMEOUT_S = 10.0


@contextmanager
def served(app: ASGIApp, certificate: Certificate | None = None) -> Iterator[str]:
    """Serve the application from a thread of its own, over TLS with a certificate; gives ``host:port``."""
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "log_level": "critical",
        "lifespan": "off",
        "ws": "none",
    }
    if certificate is not None:
        options |= {"ssl_keyfile": certificate.key, "ssl_certfile": certificate.certificate}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def wait_until(condition: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
    """Poll until the condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)
