"""Names in the router's policy that lead to nothing in the file. The router itself takes them: it can wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.config.config_file import Complaint, YamlPath
from cluster.config.schema_check import nearest
from deployments.routing.policy import Route, RouterPolicy, Split, target_id
from models.types import VersionId


def dead_ends(policy: RouterPolicy, deployed: Sequence[VersionId], path: YamlPath) -> Iterator[Complaint]:
    """One complaint for each name, at its place below ``path``."""
    models = {version.name for version in deployed}
    for name, route in policy.routes.items():
        yield from _dead_route(name, route, deployed, (*path, "routes", name))
    for named_path, name in _named(policy):
        if name not in {*models, *policy.routes, *policy.aliases, *map(str, deployed)}:
            yield Complaint((*path, *named_path), _unknown(name, deployed))
    for name in policy.models.keys() - models:
        yield Complaint((*path, "models", name), _unknown(name, deployed))


def _named(policy: RouterPolicy) -> Iterator[tuple[YamlPath, str]]:
    """Where the policy names what a caller could name, too."""
    for alias, name in policy.aliases.items():
        yield ("aliases", alias), name
    for route, written in policy.routes.items():
        for failure, fallbacks in written.fallbacks.items():
            for index, name in enumerate(fallbacks):
                yield ("routes", route, "fallbacks", failure.value, index), name


def _dead_route(name: str, route: Route, deployed: Sequence[VersionId], path: YamlPath) -> Iterator[Complaint]:
    if not route.weights(name) and all(version.name != name for version in deployed):
        yield Complaint(path, _unknown(name, deployed))
    for target_path, target in _targets(route):
        version = target_id(target, name)
        if version not in deployed:
            yield Complaint((*path, *target_path), _unknown(str(version), deployed))


def _targets(route: Route) -> Iterator[tuple[YamlPath, str]]:
    yield from _targets_of(route, ())
    for index, match in enumerate(route.match):
        yield from _targets_of(match, ("match", index))
    for index, shadow in enumerate(route.shadow):
        yield ("shadow", index, "target"), shadow.target


def _targets_of(split: Split, path: YamlPath) -> Iterator[tuple[YamlPath, str]]:
    if split.version is not None:
        yield (*path, "version"), split.version
    yield from (((*path, "targets", target), target) for target in split.targets or ())


def _unknown(name: str, deployed: Sequence[VersionId]) -> str:
    """With the nearest version when the model is there, or else the nearest model."""
    model, _, version = name.partition("@")
    versions = [each.version for each in deployed if each.name == model]
    if version and versions:
        return f"{name} is not deployed; {nearest(version, versions)}"
    return f"no model {model!r} is deployed; {nearest(model, {each.name for each in deployed})}"
