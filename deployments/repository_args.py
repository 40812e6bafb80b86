"""The args of an application that is loaded or changed while the cluster runs, checked as those of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from pydantic import JsonValue, ValidationError

from deployments.args import ModelArgs
from deployments.pool_args import PoolArgs
from deployments.repository.orders import Change, Deployed, LoadOrder
from deployments.routing.live_versions import version_order
from deployments.routing.serve_details import MODEL_BUILDER, POOL_BUILDER
from models.errors import ConflictError, InvalidRequestError, VersionNotFoundError
from models.manifest import Manifest
from models.spec import DType, ModelSpec
from models.store import DEFAULT_STORE, Store, open_store
from models.types import VersionId, WeightFormat

# Where weights come from and what they are is in the store already.
ORDERABLE = frozenset(ModelArgs.model_fields) - (frozenset(ModelSpec.model_fields) - {"limits", "engine"})
_REPLICAS = ("min_replicas", "max_replicas")


def write_model(order: LoadOrder, there: Iterable[Deployed]) -> dict[str, JsonValue]:
    """The application of a stored version, as the file would have it. Reads the store: may block.

    ``there`` says in which store the cluster's models are, where the order does not. VersionNotFoundError,
    StoreError, InvalidRequestError.
    """
    for name in order.args:
        if name not in ORDERABLE:
            raise InvalidRequestError(
                f"{name!r} cannot be given here", remedy=f"give some of {', '.join(sorted(ORDERABLE))}", param=name
            )
    location = order.args.get("store") or _common_store(there)
    manifest = _find(open_store(str(location)), order, str(location))
    args = {**_described(manifest), "store": location, **order.args}
    _check(ModelArgs, args)
    return {"name": str(manifest.id), "route_prefix": None, "import_path": MODEL_BUILDER, "args": args}


def changed_args(deployed: Deployed, version: VersionId, change: Change) -> dict[str, JsonValue]:
    """The args of ``deployed`` with the change of ``version``.

    InvalidRequestError; ConflictError for what cannot be changed while it runs.
    """
    if deployed.written.get("import_path") == POOL_BUILDER:
        return _change_pool(deployed, version, change)
    if change.pinned is not None:
        raise ConflictError(
            f"{version} has processes of its own, where nothing takes its place",
            remedy="min_replicas: 1 keeps it loaded; only a model of a pool is pinned",
        )
    if _overridden(deployed):
        raise ConflictError(
            f"the deployments block of {version} says how many replicas it has", remedy="change it in the file"
        )
    replicas = {name: value for name in _REPLICAS if (value := getattr(change, name)) is not None}
    args = {**deployed.args, **replicas}
    _check(ModelArgs, args)
    return args


def _change_pool(deployed: Deployed, version: VersionId, change: Change) -> dict[str, JsonValue]:
    if change.min_replicas is not None or change.max_replicas is not None:
        raise ConflictError(f"{version} shares the replicas of a pool", remedy="change the pool in the file")
    models = deployed.args.get("models")
    if not isinstance(models, list):
        raise ConflictError(f"the pool of {version} has no list of models", remedy="deploy the file again")
    args = {**deployed.args, "models": [_pinned(model, version, change) for model in models]}
    _check(PoolArgs, args)
    return args


def _pinned(model: JsonValue, version: VersionId, change: Change) -> JsonValue:
    is_meant = isinstance(model, dict) and _id(model) == version
    return {**model, "pinned": change.pinned} if isinstance(model, dict) and is_meant else model


def _id(model: Mapping[str, JsonValue]) -> VersionId:
    return VersionId(str(model["model"]), str(model.get("version", "1")))


def _overridden(deployed: Deployed) -> bool:
    """Whether its ``deployments:`` block says how many replicas there are."""
    blocks = deployed.written.get("deployments")
    items = blocks if isinstance(blocks, list) else ()
    return any(isinstance(item, dict) and {"num_replicas", "autoscaling_config"} & item.keys() for item in items)


def _common_store(there: Iterable[Deployed]) -> str:
    """Where all models of the cluster come from."""
    stores = {str(each.args.get("store", DEFAULT_STORE)) for each in there if "model" in each.args}
    if len(stores) > 1:
        raise InvalidRequestError(
            f"the models of this cluster come from several stores: {', '.join(sorted(stores))}",
            remedy="say which one, as store", param="store",
        )  # fmt: skip
    return stores.pop() if stores else DEFAULT_STORE


def _find(store: Store, order: LoadOrder, location: str) -> Manifest:
    if order.version is not None:
        return store.manifest(_version_id(order.model, order.version))
    named = [manifest for manifest in store.list() if manifest.name == order.model]
    if not named:
        raise VersionNotFoundError(f"no version of model {order.model!r} is in {location}")
    return max(named, key=lambda manifest: version_order(manifest.version))


def _version_id(name: str, version: str) -> VersionId:
    try:
        return VersionId(name, version)
    except ValueError as error:
        raise InvalidRequestError(str(error), param="model") from error


def _described(manifest: Manifest) -> dict[str, JsonValue]:
    """What brings the same version onto a node that does not have it yet."""
    args: dict[str, JsonValue] = {"model": manifest.name, "version": manifest.version, "source": manifest.source}
    if manifest.tokenizer_source is not None:
        args["tokenizer"] = manifest.tokenizer_source
    if manifest.format is WeightFormat.SAFETENSORS and manifest.dtype in get_args(DType):
        args["dtype"] = manifest.dtype
    return {**args, "task": str(manifest.task)}


def _check(kind: type[ModelArgs] | type[PoolArgs], args: Mapping[str, JsonValue]) -> None:
    try:
        kind.model_validate(args)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(map(str, first["loc"])) or None
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidRequestError(f"{param}: {message}" if param else message, param=param) from None
