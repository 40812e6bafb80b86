"""Which model a path names."""

from __future__ import annotations

from starlette.requests import Request

from models.errors import InvalidRequestError


def target(request: Request) -> str:
    """The data plane's word for ``/v2/models/{model}[/versions/{version}]``.

    The model may be ``name@version``; InvalidRequestError when that contradicts the path's own version.
    """
    model: str = request.path_params["model"]
    version: str | None = request.path_params.get("version")
    name, separator, named_version = model.partition("@")
    if version is None:
        return model
    if separator and named_version != version:
        raise InvalidRequestError(f"{model!r} contradicts the path's version {version!r}", param="version")
    return f"{name}@{version}"
