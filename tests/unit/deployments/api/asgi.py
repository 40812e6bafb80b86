"""What a server hands to an application, for tests that call it without one."""

from __future__ import annotations

from starlette.types import Scope


def post_scope(path: str) -> Scope:
    """Of a POST request without headers."""
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
