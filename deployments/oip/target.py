"""Which model version a request names."""

from __future__ import annotations

from models.errors import InvalidRequestError


def target_of(model: str, version: str | None) -> str:
    """The data plane's word for a model and, if it is given, a version of it.

    The model may be ``name@version``; InvalidRequestError when that contradicts ``version``.
    """
    name, separator, named_version = model.partition("@")
    if not version:
        return model
    if separator and named_version != version:
        raise InvalidRequestError(f"{model!r} contradicts the version {version!r}", param="version")
    return f"{name}@{version}"
