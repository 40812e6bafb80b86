"""Environments of Ray Serve that are compared. Up to `stowage` each adds to the one before, then each to that."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.config.environment import SERVE_DEFAULTS

_LOG_BUFFER = {"RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000"}
_ONE_LOOP = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0", "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0"}
_NO_STDERR = {"RAY_SERVE_LOG_TO_STDERR": "0"}
_PROXY_GC = {"RAY_SERVE_PROXY_GC_THRESHOLD": "10000"}
_GRPC = {
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": SERVE_DEFAULTS["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"],
}
_STOWAGE = {**SERVE_DEFAULTS, "STOWAGE_ROUTERS": "router,router-without-keys"}
_HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}

# `stowage` is what `stowage serve` sets; `ray` is Ray's own defaults.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "ray": {},
    "one-loop": _ONE_LOOP,
    "log-buffer": {**_ONE_LOOP, **_LOG_BUFFER},
    "grpc": {**_ONE_LOOP, **_LOG_BUFFER, **_GRPC},
    "stowage": _STOWAGE,
    "no-stderr": {**_STOWAGE, **_NO_STDERR},
    "proxy-gc": {**_STOWAGE, **_PROXY_GC},
    "haproxy": {**_STOWAGE, **_HAPROXY},
}
