"""On which nodes of Kubernetes the pods of a group may run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.provision.sections import KubeRaySection
from cluster.provision.spec import Group
from models.nodes import GROUP_LABEL

Object = dict[str, Any]

_ZONE = "topology.kubernetes.io/zone"
_HOST = "kubernetes.io/hostname"


def scheduling(section: KubeRaySection, group: Group) -> Object:
    """The node selector, tolerations and affinities of a group's pods, and how they spread."""
    affinity = _affinity(section.spot, group)
    return {
        "nodeSelector": dict(section.node_selectors[group.name]),
        **({"tolerations": found} if (found := _tolerations(section.spot, group)) else {}),
        **({"affinity": {"nodeAffinity": affinity}} if affinity else {}),
        "topologySpreadConstraints": [_spread(group, key) for key in (_ZONE, _HOST)],
    }


def _tolerations(spot: Mapping[str, str], group: Group) -> list[Object]:
    found: list[Object] = []
    if group.gpus:
        found.append({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"})
    if "spot" in group.markets:
        found.extend(
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
            for key, value in spot.items()
        )
    return found


def _affinity(spot: Mapping[str, str], group: Group) -> Object:
    """Which nodes the markets of the group mean: only these where there is one, else rather those of the first."""
    if not spot:
        return {}
    operator = "In" if group.markets[0] == "spot" else "NotIn"
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": [spot[key]]} for key in spot]}
    if len(group.markets) > 1:
        return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": term}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}


def _spread(group: Group, key: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {GROUP_LABEL: group.name}},
    }
