"""What Stowage asks of ``grpc_options``: that the router answers there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.config.config_file import Complaint, child
from cluster.config.schema_check import nearest

GRPC_SERVICE = "deployments.grpc.service:add_inference_service"
_FUNCTIONS = "grpc_servicer_functions"
_SERVE_HTTP_PORT, _SERVE_GRPC_PORT = 8000, 9000  # where the file gives none


def grpc_complaints(value: object) -> Iterator[Complaint]:
    """Of a file whose ``grpc_options`` have passed Serve's schema; one without them starts no gRPC server."""
    options = child(value, "grpc_options")
    if options is None:
        return
    functions = child(options, _FUNCTIONS)
    yield from _function_complaints(functions if isinstance(functions, list) else [])
    http_port = child(child(value, "http_options"), "port")
    port = child(options, "port")
    if (port or _SERVE_GRPC_PORT) == (http_port or _SERVE_HTTP_PORT):
        yield Complaint(
            ("grpc_options", "port"), f"{port or _SERVE_GRPC_PORT} is the port of http_options already"
        )


def _function_complaints(functions: Sequence[object]) -> Iterator[Complaint]:
    if not functions:
        message = f"without a function no gRPC server is started: write [{GRPC_SERVICE!r}], or no grpc_options"
        yield Complaint(("grpc_options", _FUNCTIONS), message)
    for index, function in enumerate(functions):
        if function != GRPC_SERVICE:
            message = f"the router does not answer {function!r}; {nearest(str(function), [GRPC_SERVICE])}"
            yield Complaint(("grpc_options", _FUNCTIONS, index), message)
