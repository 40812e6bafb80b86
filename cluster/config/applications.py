"""The applications of a configuration, as written, right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from cluster.config.config_file import YamlPath, child
from deployments.args import ModelArgs
from deployments.pool_args import PoolArgs
from deployments.routing.serve_details import POOL_BUILDER

ROUTER_BUILDER = "deployments.app:build_router"
MODEL_BUILDER = "deployments.app:build_model"
DEPLOYMENTS = {ROUTER_BUILDER: "Router", MODEL_BUILDER: "Model", POOL_BUILDER: "Pool"}


@dataclass(frozen=True, slots=True)
class WrittenModel:
    """A model version and the place of what describes it: an application's args, or one item of a pool's."""

    path: YamlPath
    args: ModelArgs


@dataclass(frozen=True, slots=True)
class Application:
    """One item of ``applications``, as written."""

    path: YamlPath
    value: Mapping[object, object]

    @property
    def builder(self) -> str | None:
        """None for what Serve's schema complains of."""
        path = self.value.get("import_path")
        return path if isinstance(path, str) else None

    @property
    def args(self) -> object:
        return self.value.get("args", {})

    @property
    def overrides(self) -> Sequence[object]:
        """The items of its ``deployments:`` block."""
        written = self.value.get("deployments")
        return written if isinstance(written, list) else ()

    def model_args(self) -> ModelArgs | None:
        """None when they are not valid."""
        try:
            return ModelArgs.model_validate(self.args) if self.builder == MODEL_BUILDER else None
        except ValidationError:
            return None  # reported by the rule for arguments

    def pool_args(self) -> PoolArgs | None:
        """None when they are not valid."""
        try:
            return PoolArgs.model_validate(self.args) if self.builder == POOL_BUILDER else None
        except ValidationError:
            return None  # reported by the rule for arguments

    def written_models(self) -> tuple[WrittenModel, ...]:
        """Every version that it serves, unless its args are not valid."""
        path = (*self.path, "args")
        if args := self.model_args():
            return (WrittenModel(path, args),)
        pool = self.pool_args()
        pooled = pool.model_args() if pool else ()
        return tuple(WrittenModel((*path, "models", index), args) for index, args in enumerate(pooled))


def read_applications(value: object) -> list[Application]:
    """The items of ``applications`` that are mappings; Serve's schema complains of the others."""
    written = child(value, "applications")
    items = enumerate(written) if isinstance(written, list) else ()
    return [Application(("applications", i), item) for i, item in items if isinstance(item, Mapping)]


def names_of(applications: Sequence[Application]) -> list[str]:
    """Their names, as Serve shows them."""
    return [str(app.value.get("name")) for app in applications]
