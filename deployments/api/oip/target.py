"""Which model a path names."""

from __future__ import annotations

from starlette.requests import Request

from deployments.oip.target import target_of


def target(request: Request) -> str:
    """The data plane's word for ``/v2/models/{model}[/versions/{version}]``; InvalidRequestError as target_of."""
    return target_of(request.path_params["model"], request.path_params.get("version"))
