"""``POST /v1/messages``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from deployments.api.anthropic.events import MessageEncoder
from deployments.api.anthropic.replies import whole_message
from deployments.api.anthropic.schemas import MessagesRequest
from deployments.api.http.call import call_of
from deployments.api.http.generation import collect
from deployments.api.http.parsing import parse
from deployments.api.http.sse import EventStream
from deployments.dataplane.operations import DataPlane


class MessagesEndpoint:
    """Answers calls for a message."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> ASGIApp:
        """Generate the assistant's next message, whole or as a stream."""
        body = parse(MessagesRequest, await request.body())
        call = call_of(request.scope).for_user(body.user)
        if body.stream:
            return EventStream(self._dataplane, body.order(), call, MessageEncoder())
        (generated,) = await collect(self._dataplane, body.order(), call)
        return JSONResponse(whole_message(generated))
