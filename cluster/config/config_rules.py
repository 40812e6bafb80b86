"""What Stowage asks of a configuration beyond Serve's schema, rule by rule.

Every rule gives all its complaints; none stops at the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from cluster.config.applications import DEPLOYMENTS, MODEL_BUILDER, ROUTER_BUILDER, Application
from cluster.config.config_file import Complaint, YamlPath, child
from cluster.config.plan_rules import device_complaints, placement_complaints
from cluster.config.route_rules import dead_ends
from cluster.config.scaling_rules import scaling_complaints
from cluster.config.schema_check import nearest, schema_complaints
from deployments.args import ModelArgs, RouterArgs
from deployments.pool_args import PoolArgs
from deployments.routing.policy import RouterPolicy
from deployments.routing.serve_details import POOL_BUILDER
from models.errors import SourceError
from models.sources import parse_source

_MODEL_BUILDERS = (MODEL_BUILDER, POOL_BUILDER)
_SCHEMAS: Mapping[str | None, type[BaseModel]] = {
    ROUTER_BUILDER: RouterArgs,
    MODEL_BUILDER: ModelArgs,
    POOL_BUILDER: PoolArgs,
}


def broken_rules(applications: Sequence[Application]) -> Iterator[Complaint]:
    """The complaints of all rules. Nothing outside of the file is looked at."""
    for rule in _RULES:
        yield from rule(applications)


def _builders(applications: Sequence[Application]) -> Iterator[Complaint]:
    known = tuple(DEPLOYMENTS)
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
        elif app.builder in _MODEL_BUILDERS and route is not None:
            message = f"a model is reached through the router: write route_prefix: null, not {route!r}"
            yield Complaint((*app.path, "route_prefix"), message)


def _arguments(applications: Sequence[Application]) -> Iterator[Complaint]:
    for app in applications:
        if app.builder in _SCHEMAS and isinstance(app.args, Mapping):
            yield from schema_complaints(app.args, _SCHEMAS[app.builder], (*app.path, "args"))


def _sources(applications: Sequence[Application]) -> Iterator[Complaint]:
    """Only how they are written: whether they are there is another question."""
    for model in (model for app in applications for model in app.written_models()):
        for field, text in (("source", model.args.source), ("tokenizer", model.args.tokenizer)):
            try:
                if text is not None:
                    parse_source(text)
            except SourceError as error:
                yield Complaint((*model.path, field), str(error))


def _names(applications: Sequence[Application]) -> Iterator[Complaint]:
    for app in applications:
        name, wanted = app.value.get("name"), _name_after_args(app)
        if wanted is not None and name != wanted:
            yield Complaint((*app.path, "name"), f"must be {wanted!r}, after its args, not {name!r}")
        if app.builder == ROUTER_BUILDER and (not name or "@" in str(name)):
            yield Complaint((*app.path, "name"), f"the router must have a name without '@', not {name!r}")


def _name_after_args(app: Application) -> str | None:
    if args := app.model_args():
        return str(args.id)
    pool = app.pool_args()
    return pool.application if pool else None


def _duplicates(applications: Sequence[Application]) -> Iterator[Complaint]:
    """By name; for versions whose application has another name, by version as well."""
    first: dict[str, Application] = {}
    for app in applications:
        for path, key in _keys(app):
            other = first.setdefault(key, app)
            if other is not app:
                message = f"{key!r} is deployed already, by {other.path[0]}[{other.path[1]}]"
                yield Complaint(path, message)
                break


def _keys(app: Application) -> Iterator[tuple[YamlPath, str]]:
    if (name := app.value.get("name")) is not None:
        yield (*app.path, "name"), str(name)
    for model in app.written_models():
        yield model.path, str(model.args.id)


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
            yield from scaling_complaints(app.model_args(), override, path)
        elif app.builder == POOL_BUILDER:
            yield from _pool_override(override, path)


def _pool_override(override: object, path: YamlPath) -> Iterator[Complaint]:
    """What is planned of a pool stands in one place."""
    if child(override, "user_config") is not None:
        yield Complaint((*path, "user_config"), "a pool's user_config has its cards, which the builder writes")
    for option in ("ray_actor_options", "num_replicas", "autoscaling_config"):
        if child(override, option) is not None:
            message = "write memory, num_cpus and num_replicas of a pool in its args: plans follow from those"
            yield Complaint((*path, option), message)


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
    deployed = [model.args.id for app in applications for model in app.written_models()]
    for app, index, override in _written_overrides(applications):
        policy = child(override, "user_config")
        if app.builder == ROUTER_BUILDER and policy is not None:
            path = (*app.path, "deployments", index, "user_config")
            invalid = schema_complaints(policy, RouterPolicy, path)
            yield from invalid or dead_ends(RouterPolicy.model_validate(policy), deployed, path)


def _devices(applications: Sequence[Application]) -> Iterator[Complaint]:
    for app in applications:
        yield from device_complaints(app)
        yield from placement_complaints(app)


def _written_overrides(applications: Sequence[Application]) -> Iterator[tuple[Application, int, object]]:
    for app in applications:
        for index, override in enumerate(app.overrides):
            yield app, index, override


_RULES = (_builders, _routes, _arguments, _sources, _names, _duplicates, _overrides, _policies, _devices)
