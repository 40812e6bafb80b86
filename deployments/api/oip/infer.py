"""``POST /v2/models/{model}[/versions/{version}]/infer``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from deployments.api.http.call import call_of
from deployments.api.oip.target import target
from deployments.api.oip.wire import read_infer, write_infer
from deployments.dataplane.operations import DataPlane
from models.types import InferRequest

_MICROSECONDS = 1e-6


class InferEndpoint:
    """Answers inference calls on tensors."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def infer(self, request: Request) -> Response:
        """Run the model on the tensors of the body."""
        body, inputs = read_infer(request.headers, await request.body())
        call = call_of(request.scope)
        if body.parameters.timeout:
            call = call.shortened(body.parameters.timeout * _MICROSECONDS)
        wanted = InferRequest(inputs, tuple(output.name for output in body.outputs))
        version, outputs = await self._dataplane.infer(target(request), wanted, call)
        return write_infer(body, version, outputs)
