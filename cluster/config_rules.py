"""What Stowage asks of a configuration beyond Serve's schema, rule by rule.

Every rule gives all its complaints; none stops at the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from cluster.applications import DEPLOYMENTS, MODEL_BUILDER, ROUTER_BUILDER, Application
from cluster.config_file import Complaint, YamlPath, child
from cluster.schema_check import nearest, schema_complaints
from deployments.args import ModelArgs, RouterArgs
from deployments.routing.policy import RouterPolicy
from models.errors import SourceError
from models.sources import parse_source
from models.types import VersionId


def broken_rules(applications: Sequence[Application]) -> Iterator[Complaint]:
    """The complaints of all rules. Nothing outside of the file is looked at."""
    for rule in _RULES:
        yield from rule(applications)


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


def _sources(applications: Sequence[Application]) -> Iterator[Complaint]:
    """Only how they are written: whether they are there is another question."""
    for app in applications:
        args = app.model_args()
        for field, text in (("source", args.source), ("tokenizer", args.tokenizer)) if args else ():
            try:
                if text is not None:
                    parse_source(text)
            except SourceError as error:
                yield Complaint((*app.path, "args", field), str(error))


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
        elif known and index > 0:
            yield Complaint(path, f"there is one {known}: write all that overrides it into one item")
        if app.builder == MODEL_BUILDER:
            yield from _model_override(override, path)


def _model_override(override: object, path: YamlPath) -> Iterator[Complaint]:
    if child(override, "user_config") is not None:
        yield Complaint((*path, "user_config"), "a model's user_config is its card, which the builder writes")
    options = child(override, "ray_actor_options")
    if isinstance(options, Mapping) and options.get("memory") is None:
        message = (
            "Ray takes this in place of all that the builder gives, and without memory it reserves none: "
            "give memory, in bytes as `stowage plan --json` has it, or set num_cpus in args instead"
        )
        yield Complaint((*path, "ray_actor_options"), message)


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
        for index, override in enumerate(app.overrides):
            yield app, index, override


_RULES = (_builders, _routes, _arguments, _sources, _names, _duplicates, _overrides, _policies)
