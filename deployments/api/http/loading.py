"""The parameters of loading and unloading, as Triton's clients send them, over HTTP and gRPC."""

from __future__ import annotations

from pydantic import JsonValue, TypeAdapter, ValidationError

from deployments.api.http.parsing import WireModel
from deployments.repository.orders import LoadOrder
from models.errors import InvalidRequestError

_ARGS = TypeAdapter(dict[str, JsonValue])


class LoadParameters(WireModel):
    """``config``: fields of ModelArgs, as a JSON object in a string."""

    config: str | None = None

    def order(self, model: str) -> LoadOrder:
        """``model`` is a name, for its newest version in the store, or ``name@version``.

        InvalidRequestError when ``config`` is no JSON object.
        """
        name, _, version = model.partition("@")
        return LoadOrder(name, version or None, self._args())

    def _args(self) -> dict[str, JsonValue]:
        try:
            return _ARGS.validate_json(self.config) if self.config else {}
        except ValidationError as error:
            raise InvalidRequestError(
                f"config is not a JSON object: {error.errors()[0]['msg']}",
                remedy="give fields of ModelArgs, as docs/configuration.md has them",
                param="config",
            ) from None


class UnloadParameters(WireModel):
    """``unload_dependents`` changes nothing: no model depends on another. ``force``: whatever leads there."""

    unload_dependents: bool = False
    force: bool = False
