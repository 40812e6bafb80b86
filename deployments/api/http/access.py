"""ASGI middleware at the door: who may come in, with how much time, and what became of the request."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.http.call import put_call
from deployments.api.http.errors import ErrorFormat, report, respond
from deployments.api.http.middleware import request_id_of
from deployments.api.http.settings import ApiSettings
from deployments.audit.record import Outcome
from deployments.dataplane.call import Call
from deployments.dataplane.door import Arrival, Door, Ending, outcome_of
from deployments.dataplane.headers import SECRET_HEADERS, check_headers, presented_key, timeout_s
from deployments.identity.caller import NOBODY
from models.errors import StowageError


class AccessMiddleware:
    """Makes the Call of every request, and closes it with its last byte or when the client has gone.

    ``settings.public_paths`` need no key and are not written down: without a valid key they are shown no models.
    """

    def __init__(
        self, app: ASGIApp, settings: ApiSettings, door: Door, format_of: Callable[[str], ErrorFormat]
    ) -> None:
        self._app = app
        self._settings = settings
        self._door = door
        self._format_of = format_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        is_public = scope["path"] in self._settings.public_paths
        arrival = self._arrival(scope)
        try:
            call = self._enter(arrival)
        except StowageError as error:
            if not is_public:
                return await self._refuse(arrival, error, scope, receive, send)
            call = Call.start(arrival.request_id, arrival.timeout_s, NOBODY)
        put_call(scope, call)
        if is_public:
            return await self._app(scope, receive, send)
        return await self._attend(call, scope, receive, send)

    async def _attend(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        response = _Response(call, self._door, send)
        try:
            await self._app(scope, receive, response.send)
        except Exception as error:
            call.tally.error = error
            raise
        finally:
            response.leave()

    async def _refuse(
        self, arrival: Arrival, error: StowageError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        problem = report(error, arrival.request_id)
        self._door.reject(arrival, Ending(problem.status, outcome_of(error, finished=True), error))
        await respond(problem, self._format_of(scope["path"]))(scope, receive, send)

    def _arrival(self, scope: Scope) -> Arrival:
        headers = dict(Headers(scope=scope).items())
        return Arrival(
            request_id=request_id_of(scope),
            protocol=_protocol(scope["path"]),
            operation=scope["path"],
            timeout_s=self._settings.request_timeout_s,
            key=presented_key(headers),
            attributes={name: value for name, value in headers.items() if name not in SECRET_HEADERS},
        )

    def _enter(self, arrival: Arrival) -> Call:
        check_headers(arrival.attributes)
        given_s = timeout_s(arrival.attributes, self._settings.max_request_timeout_s)
        call = self._door.enter(arrival)
        return call if given_s is None else call.with_timeout(given_s)


class _Response:
    """Watches what is sent for one call, and puts the state of its limits into the headers.

    The call leaves before its last byte does: a client that has a whole answer finds it in the books, whatever
    happens to this process then.
    """

    def __init__(self, call: Call, door: Door, send: Send) -> None:
        self._call = call
        self._door = door
        self._send = send
        self._status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        self._num_bodies = 0
        self._finished = False
        self._has_left = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            limits = self._call.tally.rate_limits  # of names that no endpoint uses
            message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in limits.items())]
        else:
            self._num_bodies += 1
            self._finished = not message.get("more_body", False)
            if self._finished:
                self.leave()
        await self._send(message)

    def leave(self) -> None:
        """Once, however often it is called."""
        if not self._has_left:
            self._has_left = True
            self._door.leave(self._call, self._ending())

    def _ending(self) -> Ending:
        error = self._call.tally.error
        outcome = outcome_of(error, finished=self._finished)
        if isinstance(error, HTTPException):
            outcome = Outcome.REFUSED  # a path, method or body that HTTP itself does not allow
        return Ending(self._status, outcome, error, streamed=self._num_bodies > 1)


def _protocol(path: str) -> str:
    if path.startswith("/admin/"):
        return "admin"
    if path.startswith("/v1/messages"):
        return "anthropic"
    return "openai" if path.startswith("/v1/") else "oip"
