"""The settings that make Serve's request path fast: environment variables of every process of Ray."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Small bodies sent to the router together with their headers, one event loop in each process instead of two or
# three, request logs written in batches, gRPC between replicas (its message limit of 4 MiB raised to the largest
# it takes, since bodies may be larger), and one thread of OpenMP for each replica process, since replicas share
# the cores. benchmarks/README.md has what each of them gains.
SERVE_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.proxy:middlewares",
        "STOWAGE_ROUTERS": "router",
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
        "OMP_NUM_THREADS": "1",
    }
)
