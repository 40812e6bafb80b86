"""The router's ``/admin/models``, for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from cluster.live.http_get import UnreachableError, send_json
from deployments.scaling.account import ScalingAccount
from models.errors import StowageError

_PATH = "/admin/models"
_GRACE_S = 5.0

Content = TypeVar("Content")


class DeployedModel(BaseModel):
    """What the router says of one version."""

    id: str
    status: str
    reason: str | None = None
    replicas: int = 0


class Unloaded(BaseModel):
    """``returns``: the file has it, and deploying that starts it again."""

    id: str
    returns: bool


class UnroutableError(StowageError):
    """The router knows no such call."""


class _Detail(BaseModel):
    message: str
    code: str | None = None


class _Failed(BaseModel):
    error: _Detail


class Admin:
    """``url`` is the router's, as ``http://127.0.0.1:8000``; ``key`` an operator's. StowageError for a refusal."""

    def __init__(self, url: str, key: str | None, timeout_s: float) -> None:
        self._url = url.rstrip("/") + _PATH
        self._timeout_s = timeout_s
        self._headers = {"x-request-timeout": f"{timeout_s:g}"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def load(self, model: str, version: str | None, args: Mapping[str, JsonValue], *, wait: bool) -> DeployedModel:
        """Deploy a version that is in the store."""
        body: dict[str, JsonValue] = {"model": model, "args": dict(args), "wait": wait}
        if version is not None:
            body["version"] = version
        return self._ask(DeployedModel, "POST", "", body)

    def change(self, model: str, change: Mapping[str, JsonValue]) -> DeployedModel:
        """``change`` has the fields of the call's body."""
        return self._ask(DeployedModel, "PATCH", f"/{quote(model)}", dict(change))

    def unload(self, model: str, *, force: bool) -> Unloaded:
        """Take a version away."""
        return self._ask(Unloaded, "DELETE", f"/{quote(model)}{'?force=true' if force else ''}", None)

    def scaling(self, model: str) -> ScalingAccount:
        """Why there are so many replicas of it."""
        path = f"/{quote(model)}/scaling"
        try:
            return self._ask(ScalingAccount, "GET", path, None)
        except UnroutableError as error:
            raise StowageError(
                f"the router at {self._url.removesuffix(_PATH)} cannot explain: it is older than this command",
                remedy="update the cluster, or use the stowage of its release",
            ) from error

    def _ask(self, kind: type[Content], method: str, path: str, body: JsonValue) -> Content:
        try:
            reply = send_json(
                method, self._url + path, body, timeout_s=self._timeout_s + _GRACE_S, headers=self._headers
            )
        except UnreachableError as error:
            raise StowageError(f"no router answers at {error}", remedy="give its URL with --url") from error
        try:
            if reply.status < 300:
                return TypeAdapter(kind).validate_json(reply.body)
            failed = _Failed.model_validate_json(reply.body).error
            raise (UnroutableError if _is_unroutable(reply.status, failed) else StowageError)(failed.message)
        except ValidationError as error:
            raise StowageError(f"{self._url} answered HTTP {reply.status}, and not like a router") from error


def _is_unroutable(status: int, failed: _Detail) -> bool:
    """404 is also said of a model that is not there."""
    return status in (404, 405) and failed.code != "model_not_found"
