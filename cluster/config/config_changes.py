"""What Serve does with each application when one configuration follows another. Pure.

By the rules of Ray 2.60: ``get_app_code_version`` (deploy_utils.py) hashes what makes all replicas of an
application start again, ``DeploymentVersion.requires_actor_restart`` (version.py) names the deployment's options
that do. Everything else reaches running replicas, or only their number.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from cluster.config.applications import Application
from cluster.config.config_file import child, format_path

_RESTARTING_FIELDS = ("import_path", "runtime_env", "args", "autoscaling_policy")
_RESTARTING_OPTIONS = frozenset(
    {
        "deployment_actors",
        "gang_scheduling_config",
        "max_replicas_per_node",
        "placement_group_bundle_label_selector",
        "placement_group_bundles",
        "placement_group_fallback_strategy",
        "placement_group_strategy",
        "ray_actor_options",
        "request_router_config",
    }
)
_COUNTING_OPTIONS = frozenset({"num_replicas", "autoscaling_config"})
# As good as absent, by Serve's schema.
_DEFAULTS: Mapping[str, object] = {"args": {}, "runtime_env": {}}
_WHOLE_FILE_FIELDS = ("http_options", "grpc_options", "proxy_location")
_LONGEST_VALUE = 40


class _Written(Enum):
    """What stands where nothing is written: Ray tells it from null."""

    NOT = "absent"


class Effect(StrEnum):
    """What happens to an application, the strongest first. ``MOVES`` comes of a plan, not of a configuration."""

    STOPS = "stops"
    STARTS = "starts"
    RESTARTS = "restarts"
    MOVES = "moves"
    RECONFIGURES = "reconfigures"
    SCALES = "scales"
    STAYS = "stays"


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """The effect on one application, and why: one reason for each difference."""

    name: str
    effect: Effect
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Difference:
    effect: Effect
    reason: str


def compare_applications(old: Sequence[Application], new: Sequence[Application]) -> tuple[ConfigChange, ...]:
    """One change for each application of either configuration: those of ``new`` in its order, then what stops."""
    before = {_name(app): app for app in old}
    after = {_name(app) for app in new}
    changes = [_compare(before.get(_name(app)), app) for app in new]
    gone = [ConfigChange(name, Effect.STOPS, ("not in the new file",)) for name in before if name not in after]
    return (*changes, *gone)


def unapplied_changes(old: object, new: object) -> list[str]:
    """What changes of the file around the applications, and Serve takes only when it starts."""
    return [
        reason
        for field in _WHOLE_FILE_FIELDS
        for reason in _differing(child(old, field), child(new, field), (field,))
    ]


def _name(app: Application) -> str:
    return str(app.value.get("name"))


def _compare(old: Application | None, new: Application) -> ConfigChange:
    if old is None:
        return ConfigChange(_name(new), Effect.STARTS, ("not in the old file",))
    found = [*_field_differences(old, new), *_override_differences(old, new)]
    order = list(Effect)
    effect = min((difference.effect for difference in found), key=order.index, default=Effect.STAYS)
    return ConfigChange(_name(new), effect, tuple(difference.reason for difference in found))


def _field_differences(old: Application, new: Application) -> Iterator[_Difference]:
    for field in dict.fromkeys([*_RESTARTING_FIELDS, *map(str, old.value), *map(str, new.value)]):
        if field in ("name", "deployments"):
            continue
        effect = Effect.RESTARTS if field in _RESTARTING_FIELDS else Effect.RECONFIGURES
        default = _DEFAULTS.get(field)
        for reason in _differing(old.value.get(field, default), new.value.get(field, default), (field,)):
            yield _Difference(effect, reason)


def _override_differences(old: Application, new: Application) -> Iterator[_Difference]:
    before, after = _override(old), _override(new)
    for option in sorted({*map(str, before), *map(str, after)} - {"name"}):
        for reason in _differing(before.get(option), after.get(option), ("deployments", 0, option)):
            yield _Difference(_option_effect(option, before, after), reason)


def _override(app: Application) -> Mapping[object, object]:
    """What its ``deployments:`` block overrides; a valid application has at most one item there."""
    first = child(list(app.overrides), 0)
    return first if isinstance(first, Mapping) else {}


def _option_effect(option: str, before: Mapping[object, object], after: Mapping[object, object]) -> Effect:
    if option in _RESTARTING_OPTIONS:
        return Effect.RESTARTS
    if option == "autoscaling_config" and _policies(before) != _policies(after):
        return Effect.RESTARTS
    return Effect.SCALES if option in _COUNTING_OPTIONS else Effect.RECONFIGURES


def _policies(override: Mapping[object, object]) -> list[object]:
    """What Ray hashes of a block: where there is autoscaling its policy, also when that is null."""
    scaling = override.get("autoscaling_config")
    return [scaling.get("policy")] if isinstance(scaling, Mapping) else []


def _differing(old: object, new: object, path: tuple[str | int, ...]) -> Iterator[str]:
    """Each place at which two values differ as they are written: what they mean is not asked, as Ray does not."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differing(old.get(key, _Written.NOT), new.get(key, _Written.NOT), (*path, str(key)))
    elif _as_ray_sees(old) != _as_ray_sees(new):
        yield f"{format_path(path)}: {_shown(old)} -> {_shown(new)}"


def _as_ray_sees(value: object) -> str:
    """JSON tells 1 from true and from "1"."""
    return json.dumps(value, sort_keys=True, default=str)


def _shown(value: object) -> str:
    if isinstance(value, _Written):
        return value.value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return reprlib.repr(text) if len(text) > _LONGEST_VALUE else text
