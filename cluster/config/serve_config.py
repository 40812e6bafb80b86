"""``serve_config.yaml`` as Stowage means it: one router, and one application for each model version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.config.applications import ROUTER_BUILDER, Application, WrittenModel, read_applications
from cluster.config.config_file import ConfigFile, Problem, YamlPath, child
from cluster.config.config_rules import broken_rules
from cluster.config.grpc_rules import grpc_complaints
from cluster.config.replicas import ReplicaRange, replica_range
from cluster.config.serve_schema import HttpAddress, grpc_port, http_address, part_complaints, whole_complaints
from deployments.args import ModelArgs, RouterArgs
from deployments.pool_args import PoolArgs
from deployments.routing.policy import RouterPolicy
from models.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A model version of the file, and the place of its application in it."""

    path: YamlPath
    args: ModelArgs
    replicas: ReplicaRange


@dataclass(frozen=True, slots=True)
class DeployedPool:
    """A pool of the file, and its models with their places in it."""

    args: PoolArgs
    models: tuple[WrittenModel, ...]


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """A valid file. ``models`` are those with an application of their own, in its order.

    ``grpc_port`` is None where no gRPC server is started.
    """

    http: HttpAddress
    router: str
    models: tuple[DeployedModel, ...]
    router_args: RouterArgs = field(default_factory=RouterArgs)
    pools: tuple[DeployedPool, ...] = ()
    grpc_port: int | None = None
    policy: RouterPolicy = field(default_factory=RouterPolicy)

    @property
    def versions(self) -> tuple[WrittenModel, ...]:
        """Every version, in an application of its own or in a pool."""
        alone = (WrittenModel((*model.path, "args"), model.args) for model in self.models)
        return (*alone, *(model for pool in self.pools for model in pool.models))

    @property
    def model_args(self) -> tuple[ModelArgs, ...]:
        return tuple(version.args for version in self.versions)


def check_config(file: ConfigFile) -> list[Problem]:
    """All problems of the file itself, in its order. Nothing outside of it is looked at."""
    if file.root is None and file.complaints:
        return list(file.complaints)
    applications = read_applications(file.value)
    complaints = [*part_complaints(file.value), *grpc_complaints(file.value), *broken_rules(applications)]
    # What Serve says of the whole names no line; the rules have said most of it already, and with the line.
    problems = [file.problem(complaint) for complaint in complaints or whole_complaints(file.value)]
    return sorted({*file.complaints, *problems}, key=lambda problem: (problem.line, problem.path))


def load_config(path: Path) -> ServeConfig:
    """The valid configuration at ``path``; ConfigError lists every problem with its line."""
    file = ConfigFile.read(path)
    problems = check_config(file)
    if problems:
        raise ConfigError(describe(path, problems))
    return valid_config(file)


def valid_config(file: ConfigFile) -> ServeConfig:
    """The contents of a file in which ``check_config`` found no problem."""
    applications = read_applications(file.value)
    router = next(app for app in applications if app.builder == ROUTER_BUILDER)
    models = tuple(_model(app, args) for app in applications if (args := app.model_args()))
    return ServeConfig(
        http=http_address(file.value),
        router=str(router.value["name"]),
        models=models,
        router_args=RouterArgs.model_validate(router.args),
        pools=tuple(DeployedPool(pool, app.written_models()) for app in applications if (pool := app.pool_args())),
        grpc_port=grpc_port(file.value),
        policy=_policy(router),
    )


def _policy(router: Application) -> RouterPolicy:
    written = (child(override, "user_config") for override in router.overrides)
    return RouterPolicy.model_validate(next((policy for policy in written if policy is not None), {}))


def _model(app: Application, args: ModelArgs) -> DeployedModel:
    override = app.overrides[0] if app.overrides else None  # at most one in a valid file
    return DeployedModel(app.path, args, replica_range(args, override))


def describe(path: Path, problems: Sequence[Problem]) -> str:
    """One line for each problem, in the form that editors and CI systems turn into links."""
    return "\n".join(f"{path}:{problem.line}: {problem.path}: {problem.message}" for problem in problems)
