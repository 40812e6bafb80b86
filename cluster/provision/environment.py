"""The environment of Ray on every node: the settings of ``stowage serve``, and token authentication."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.config.environment import SERVE_DEFAULTS
from cluster.provision.spec import ClusterSpec


def node_environment(spec: ClusterSpec, provider: Mapping[str, str] | None = None) -> dict[str, str]:
    """``provider``: what the provider adds, such as a region; what the specification says goes before all."""
    return {**SERVE_DEFAULTS, "RAY_AUTH_MODE": "token", **(provider or {}), **spec.environment}
