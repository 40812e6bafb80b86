"""Where each request over gRPC passes the door, on its way in and out."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from grpc import StatusCode

from deployments.dataplane.call import Call
from deployments.dataplane.door import Arrival, Door, Ending, outcome_of
from deployments.dataplane.headers import SECRET_HEADERS, check_headers, presented_key, timeout_s
from deployments.grpc.errors import code_of, status_number
from deployments.grpc.rpc import Rpc
from models.errors import PermissionDeniedError, StowageError
from models.version import VERSION


def _no_others() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """What the gRPC interface allows of one request. Times are in seconds; they mean what they do over HTTP.

    ``max_message_bytes`` bounds a request, ``server_version`` is what the metadata says.
    ``answers_other_machines`` is asked for each request: Serve's
    gRPC proxies listen on every address of their nodes, unencrypted, so by default only loopback is answered.
    """

    request_timeout_s: float = 300.0
    max_request_timeout_s: float = 3600.0
    max_message_bytes: int = 32 * 1024 * 1024
    server_version: str = VERSION
    answers_other_machines: Callable[[], bool] = _no_others


class Reception:
    """Makes the Call of every request, and closes it when it has been answered or its client has gone."""

    def __init__(self, door: Door, settings: GrpcSettings) -> None:
        self._door = door
        self._settings = settings

    def admit(self, rpc: Rpc, operation: str) -> float:
        """Seconds that a stream may wait for a request: as many as one may take, and no fewer than by default.

        Raises as ``attend`` does. No call begins, as there is no request yet.
        """
        return max(self._enter(rpc, operation).timeout_s, self._settings.request_timeout_s)

    @contextmanager
    def attend(self, rpc: Rpc, operation: str, *, streamed: bool = False) -> Iterator[Call]:
        """The call of one request; PermissionDeniedError, or what the door raises, for one that may not enter."""
        call = self._enter(rpc, operation)
        error: Exception | None = None
        finished = False
        try:
            yield call
            finished = True
        except Exception as raised:
            error = raised
            raise
        finally:
            rpc.tell(call.tally.rate_limits)
            self._door.leave(call, _ending(error, finished=finished, streamed=streamed))

    def _enter(self, rpc: Rpc, operation: str) -> Call:
        arrival = self._arrival(rpc, operation)
        try:
            self._check_peer(rpc.peer)
            check_headers(rpc.metadata)
            given_s = timeout_s(rpc.metadata, self._settings.max_request_timeout_s)
            call = self._door.enter(arrival)
        except StowageError as error:
            self._door.reject(arrival, _ending(error, finished=True))
            raise
        return call if given_s is None else call.with_timeout(given_s)

    def _check_peer(self, peer: str) -> None:
        if not self._settings.answers_other_machines() and not is_this_machine(peer):
            raise PermissionDeniedError(
                f"{peer} is not on this machine's loopback, and gRPC is not encrypted here",
                remedy="put a proxy that ends TLS on the machine, or set allow_unencrypted in the router's args",
            )

    def _arrival(self, rpc: Rpc, operation: str) -> Arrival:
        return Arrival(
            request_id=rpc.request_id,
            protocol="grpc",
            operation=operation,
            timeout_s=self._settings.request_timeout_s,
            key=presented_key(rpc.metadata),
            attributes={key: value for key, value in rpc.metadata.items() if key not in SECRET_HEADERS},
        )


def is_this_machine(peer: str) -> bool:
    """Whether a gRPC peer (``ipv4:127.0.0.1:5000``, ``ipv6:[::1]:5000``, ``unix:...``) is on loopback."""
    kind, _, address = peer.replace("%5B", "[").replace("%5D", "]").partition(":")
    if kind == "unix":
        return True
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _ending(error: Exception | None, *, finished: bool, streamed: bool = False) -> Ending:
    cut = StatusCode.OK if finished else StatusCode.CANCELLED
    code = cut if error is None else code_of(error)
    return Ending(status_number(code), outcome_of(error, finished=finished), error, streamed)
