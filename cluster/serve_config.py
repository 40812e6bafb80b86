"""``serve_config.yaml`` as Stowage means it: one router, and one application for each model version.

Every rule below gives all its complaints; none stops at the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cluster.config_file import Complaint, ConfigFile, Problem, YamlPath, child
from cluster.schema_check import nearest, schema_complaints
from cluster.serve_schema import HttpAddress, http_address, part_complaints, whole_complaints
from deployments.args import ModelArgs, RouterArgs
from deployments.routing.policy import RouterPolicy
from models.errors import ConfigError
from models.types import VersionId

ROUTER_BUILDER = "deployments.app:build_router"
MODEL_BUILDER = "deployments.app:build_model"
DEPLOYMENTS = {ROUTER_BUILDER: "Router", MODEL_BUILDER: "Model"}


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

    def model_args(self) -> ModelArgs | None:
        """None when they are not valid."""
        try:
            return ModelArgs.model_validate(self.args) if self.builder == MODEL_BUILDER else None
        except ValidationError:
            return None  # reported by the rule for arguments


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """A valid file. ``models`` are in its order, each with its place in it."""

    http: HttpAddress
    router: str
    models: tuple[tuple[YamlPath, ModelArgs], ...]

    @property
    def model_args(self) -> tuple[ModelArgs, ...]:
        return tuple(args for _, args in self.models)


def check_config(file: ConfigFile) -> list[Problem]:
    """All problems of the file itself, in its order. Nothing outside of it is looked at."""
    if file.root is None and file.complaints:
        return list(file.complaints)
    applications = read_applications(file.value)
    complaints = [*part_complaints(file.value), *(each for rule in _RULES for each in rule(applications))]
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
    router = next(app.value["name"] for app in applications if app.builder == ROUTER_BUILDER)
    models = tuple((app.path, args) for app in applications if (args := app.model_args()))
    return ServeConfig(http_address(file.value), str(router), models)


def describe(path: Path, problems: Sequence[Problem]) -> str:
    """One line for each problem, in the form that editors and CI systems turn into links."""
    return "\n".join(f"{path}:{problem.line}: {problem.path}: {problem.message}" for problem in problems)


def read_applications(value: object) -> list[Application]:
    """The items of ``applications`` that are mappings; Serve's schema complains of the others."""
    written = child(value, "applications")
    items = enumerate(written) if isinstance(written, list) else ()
    return [Application(("applications", i), item) for i, item in items if isinstance(item, Mapping)]


def _builders(applications: Sequence[Application]) -> Iterator[Complaint]:
    known = (ROUTER_BUILDER, MODEL_BUILDER)
    for app in applications:
        if app.builder and app.builder not in known:
            message = f"{app.builder!r} is no builder of Stowage; {nearest(app.builder, known)}"
            yield Complaint((*app.path, "import_path"), message)
    num_routers = sum(app.builder == ROUTER_BUILDER for app in applications)
    if num_routers != 1:
        message = f"exactly one application must have import_path {ROUTER_BUILDER}, not {num_routers}"
        yield Complaint(("applications",), message)


def _routes(applications: Sequence[Application]) -> Iterator[Complaint]:
    for app in applications:
        route = app.value.get("route_prefix", "/")
        if app.builder == ROUTER_BUILDER and route != "/":
            yield Complaint((*app.path, "route_prefix"), f"the router's must be '/', not {route!r}")
        elif app.builder == MODEL_BUILDER and route is not None:
            message = f"a model is reached through the router: write route_prefix: null, not {route!r}"
            yield Complaint((*app.path, "route_prefix"), message)


def _arguments(applications: Sequence[Application]) -> Iterator[Complaint]:
    schemas: dict[str | None, type[BaseModel]] = {ROUTER_BUILDER: RouterArgs, MODEL_BUILDER: ModelArgs}
    for app in applications:
        if app.builder in schemas and isinstance(app.args, Mapping):
            yield from schema_complaints(app.args, schemas[app.builder], (*app.path, "args"))


def _names(applications: Sequence[Application]) -> Iterator[Complaint]:
    for app in applications:
        args, name = app.model_args(), app.value.get("name")
        if args and name != str(args.id):
            yield Complaint((*app.path, "name"), f"must be {str(args.id)!r}, after its args, not {name!r}")
        if app.builder == ROUTER_BUILDER and (not name or "@" in str(name)):
            yield Complaint((*app.path, "name"), f"the router must have a name without '@', not {name!r}")


def _duplicates(applications: Sequence[Application]) -> Iterator[Complaint]:
    """By name; for models whose name is wrong, by version as well."""
    first: dict[str, Application] = {}
    for app in applications:
        args = app.model_args()
        for part, key in (("name", app.value.get("name")), ("args", args and str(args.id))):
            if key is None:
                continue
            other = first.setdefault(str(key), app)
            if other is not app:
                message = f"{key!r} is deployed already, by {other.path[0]}[{other.path[1]}]"
                yield Complaint((*app.path, part), message)
                break


def _overrides(applications: Sequence[Application]) -> Iterator[Complaint]:
    """Serve refuses overrides of a deployment that the builder does not make, but only once it is deploying."""
    for app, index, override in _written_overrides(applications):
        path = (*app.path, "deployments", index)
        known = DEPLOYMENTS.get(app.builder or "")
        name = child(override, "name")
        if known and isinstance(name, str) and name != known:
            yield Complaint(
                (*path, "name"), f"{app.builder} makes no deployment {name!r}; {nearest(name, [known])}"
            )
        if app.builder == MODEL_BUILDER and child(override, "user_config") is not None:
            yield Complaint((*path, "user_config"), "a model's user_config is its card, which the builder writes")


def _policies(applications: Sequence[Application]) -> Iterator[Complaint]:
    deployed = [args.id for app in applications if (args := app.model_args())]
    for app, index, override in _written_overrides(applications):
        policy = child(override, "user_config")
        if app.builder == ROUTER_BUILDER and policy is not None:
            path = (*app.path, "deployments", index, "user_config")
            invalid = schema_complaints(policy, RouterPolicy, path)
            yield from invalid or _dead_routes(RouterPolicy.model_validate(policy), deployed, path)


def _dead_routes(policy: RouterPolicy, deployed: Sequence[VersionId], path: YamlPath) -> Iterator[Complaint]:
    for name, route in policy.routes.items():
        versions = [each.version for each in deployed if each.name == name]
        if not versions:
            message = f"no model {name!r} is deployed; {nearest(name, {each.name for each in deployed})}"
            yield Complaint((*path, "routes", name), message)
        elif route.version not in versions:
            message = f"{name}@{route.version} is not deployed; {nearest(route.version, versions)}"
            yield Complaint((*path, "routes", name, "version"), message)


def _written_overrides(applications: Sequence[Application]) -> Iterator[tuple[Application, int, object]]:
    for app in applications:
        overrides = app.value.get("deployments")
        for index, override in enumerate(overrides if isinstance(overrides, list) else ()):
            yield app, index, override


_RULES = (_builders, _routes, _arguments, _names, _duplicates, _overrides, _policies)
