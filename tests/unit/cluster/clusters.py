"""Clusters and configurations for tests of plans."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from cluster.config.config_file import ConfigFile
from cluster.config.serve_config import ServeConfig, check_config, valid_config
from cluster.planning.planned import ClusterPlan, KnownVersion
from cluster.planning.planner import plan_cluster
from cluster.terminal.options import ReplicaCount
from deployments.args import ModelArgs
from models.devices import device_named
from models.errors import VersionNotFoundError
from models.hardware import Node
from models.manifest import Manifest
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

GIB = 1 << 30
H100 = device_named("h100-80gb")
T4 = device_named("t4-16gb")

# As many parameters and as large a cache as Llama 3.1 8B has, in bfloat16.
LLAMA = SMOLLM2.model_copy(
    update={"name": "llama", "dtype": "bfloat16", "num_parameters": 8_030_261_248, "weight_bytes": 16_060_522_496}
)
KNOWN = {manifest.name: manifest for manifest in (SMOLLM2, MINILM, ADDER, LLAMA)}


def gpu_node(name: str = "gpu-0", num_devices: int = 2, price: float | None = None) -> Node:
    return Node(name, 32, 200 * GIB, H100, num_devices, group="gpu", price_per_hour=price)


def cpu_node(name: str = "cpu-0", memory_bytes: int = 16 * GIB, num_cpus: float = 8) -> Node:
    return Node(name, num_cpus, memory_bytes, group="cpu")


def application(model: str, **args: object) -> dict[str, object]:
    return {
        "name": f"{model}@1",
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {"model": model, **args},
    }


def written(*applications: dict[str, object]) -> str:
    router = {"name": "router", "import_path": "deployments.app:build_router"}
    return yaml.safe_dump({"applications": [router, *applications]}, sort_keys=False)


def config(*applications: dict[str, object]) -> ServeConfig:
    file = ConfigFile.parse(written(*applications))
    assert check_config(file) == []
    return valid_config(file)


def find(args: ModelArgs) -> KnownVersion:
    """By name; a name such as ``minilm-7`` is another model just like it."""
    manifest: Manifest | None = KNOWN.get(args.model) or KNOWN.get(args.model.rpartition("-")[0])
    if manifest is None:
        raise VersionNotFoundError(f"{args.id} is nowhere", remedy="name its source")
    return KnownVersion(manifest.model_copy(update={"name": args.model}))


def planned(
    nodes: Sequence[Node], *applications: dict[str, object], at: ReplicaCount = ReplicaCount.MIN
) -> ClusterPlan:
    return plan_cluster(config(*applications), find, nodes, at=at)
