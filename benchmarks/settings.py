"""Environments of Ray Serve that are compared. Each adds to the one before it."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.environment import SERVE_DEFAULTS

_ONE_LOOP = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0", "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0"}
# Without the second, a request or an answer of more than 4 MiB fails.
_GRPC = {"RAY_SERVE_USE_GRPC_BY_DEFAULT": "1", "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1)}
_HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}

# `stowage` is what `stowage serve` sets; `ray` is Ray's own defaults.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "ray": {},
    "one-loop": _ONE_LOOP,
    "stowage": SERVE_DEFAULTS,
    "grpc": {**SERVE_DEFAULTS, **_GRPC},
    "haproxy": {**SERVE_DEFAULTS, **_GRPC, **_HAPROXY},
}
