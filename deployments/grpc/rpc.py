"""One RPC as the service sees it: what its client says of it, and what it is told beside the messages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Protocol

from grpc import StatusCode

from deployments.dataplane.headers import REQUEST_ID_HEADER, is_request_id
from deployments.grpc.errors import Failure

# Under this name Serve's proxy tells a client the id of its request, and takes one from it.
_SERVE_REQUEST_ID = "request_id"

Pairs = Sequence[tuple[str, str | bytes]]


class RpcContext(Protocol):
    """What is used of Serve's gRPC context, which has the same methods as gRPC's own."""

    def invocation_metadata(self) -> Pairs | None: ...

    def trailing_metadata(self) -> Pairs | None: ...

    def peer(self) -> str: ...

    def set_code(self, code: StatusCode) -> None: ...

    def set_details(self, details: str) -> None: ...

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str]]) -> None: ...


class Rpc:
    """``metadata`` is the client's, without what is binary. ``request_id`` is the client's, or else Serve's.

    ``failed``: its status has been set, so that it must end.
    """

    def __init__(self, context: RpcContext) -> None:
        self._context = context
        self.metadata = _texts(context.invocation_metadata())
        self.request_id = _request_id(self.metadata, _texts(context.trailing_metadata()))
        self.peer = context.peer()
        self.failed = False
        self._told = {REQUEST_ID_HEADER: self.request_id}

    def tell(self, metadata: Mapping[str, str]) -> None:
        """Add to the trailing metadata, which begins with the request's id."""
        self._told.update(metadata)
        self._context.set_trailing_metadata(list(self._told.items()))

    def fail(self, failure: Failure) -> None:
        """End with this status. Serve sends it only together with a message, which gRPC drops in a unary RPC."""
        self.failed = True
        self._context.set_code(failure.code)
        self._context.set_details(failure.message)
        self.tell(failure.metadata)


def _texts(pairs: Pairs | None) -> Mapping[str, str]:
    return {key: value for key, value in pairs or () if isinstance(value, str)}


def _request_id(metadata: Mapping[str, str], trailing: Mapping[str, str]) -> str:
    given = metadata.get(REQUEST_ID_HEADER, trailing.get(_SERVE_REQUEST_ID, ""))
    return given if is_request_id(given) else uuid.uuid4().hex
