"""The rendered files for tests."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ray.autoscaler._private.util import prepare_config

from cluster.provision.choices import configurations
from cluster.provision.registry import ProviderName, renderer
from cluster.provision.spec import ClusterSpec
from tests.unit.cluster.provision.specs import committed

CLOUDS = (ProviderName.AWS, ProviderName.GCP, ProviderName.AZURE)
RAY_UP = (*CLOUDS, ProviderName.ONPREM)


def ray_up_file(provider: ProviderName, spec: ClusterSpec | None = None) -> dict[str, Any]:
    """The parsed file of the committed specification, or of another."""
    (text,) = renderer(provider)(spec or committed()).values()
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def prepared(provider: ProviderName) -> dict[str, Any]:
    """As Ray has the file after its own first step."""
    config: dict[str, Any] = prepare_config(copy.deepcopy(ray_up_file(provider)))
    return config


def node_configs(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that the cloud is asked for: each choice of each node type, with the node type's name."""
    for name, node_type in config["available_node_types"].items():
        for configuration in configurations(node_type["node_config"]):
            yield name, dict(configuration)
