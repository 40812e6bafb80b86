"""``POST /v1/responses``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from deployments.api.http.call import call_of
from deployments.api.http.generation import collect
from deployments.api.http.parsing import parse
from deployments.api.http.sse import EventStream
from deployments.api.openai.responses_events import ResponseEncoder
from deployments.api.openai.responses_reply import Draft
from deployments.api.openai.responses_schema import ResponseRequest
from deployments.dataplane.operations import DataPlane


class ResponseEndpoint:
    """Answers calls for a response. Nothing is stored."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def create(self, request: Request) -> ASGIApp:
        """Generate a response, whole or as a stream."""
        body = parse(ResponseRequest, await request.body())
        call = call_of(request.scope).for_user(body.end_user)
        draft = Draft.new(body)
        if body.stream:
            return EventStream(self._dataplane, body.order(), call, ResponseEncoder(draft))
        (generated,) = await collect(self._dataplane, body.order(), call)
        return JSONResponse(draft.of(generated.version).ended(generated.text, generated.last))
