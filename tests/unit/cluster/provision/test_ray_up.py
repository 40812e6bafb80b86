from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
from ray._private.label_utils import validate_node_label_syntax
from ray.autoscaler._private.providers import _get_node_provider_cls
from ray.autoscaler._private.util import validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

from cluster.config.environment import SERVE_DEFAULTS
from cluster.nodes.instance_types import instance_type
from cluster.nodes.node_files import read_nodes_file
from cluster.provision.registry import ProviderName, renderer
from models.hardware import RAY_MEMORY_SHARE
from tests.unit.cluster.provision.rendered import CLOUDS, RAY_UP, node_configs, prepared, ray_up_file
from tests.unit.cluster.provision.specs import committed
from tests.unit.source_tree import ROOT

SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
each_file = pytest.mark.parametrize("provider", RAY_UP)
each_cloud = pytest.mark.parametrize("provider", CLOUDS)


@each_file
def test_ray_s_schema_has_every_field(provider: ProviderName) -> None:
    jsonschema.validate(ray_up_file(provider), SCHEMA)


@each_file
def test_ray_prepares_and_accepts_it(provider: ProviderName) -> None:
    validate_config(prepared(provider))


@each_file
def test_no_field_is_left_to_ray_s_defaults(provider: ProviderName) -> None:
    """They install a nightly build of Ray, and open the dashboard to everybody."""
    added = set(prepared(provider)) - set(ray_up_file(provider))
    assert added <= {"available_node_types", "head_node_type"}
    assert "http" not in json.dumps(prepared(provider)["setup_commands"])


@each_file
def test_the_autoscaler_reads_it(provider: ProviderName, tmp_path: Path) -> None:
    written = ray_up_file(provider)
    if provider == "onprem":  # Ray looks into the key
        key = tmp_path / "key.pem"
        key.touch()
        written["auth"]["ssh_private_key"] = str(key)
    config = AutoscalingConfig(written, skip_content_hash=True)
    types = config.get_node_type_configs()
    head = types[config.get_head_node_type()]
    assert config.get_max_num_worker_nodes() == ray_up_file(provider)["max_workers"]
    assert config.get_idle_timeout_s() == 600
    if provider in CLOUDS:
        assert (head.max_worker_nodes, head.resources) == (1, {"CPU": 0})
        assert types["h100"].idle_timeout_s == 1800
        assert types["h100"].labels == committed().group("h100").node_labels
        assert config.get_docker_config("cpu")["image"].endswith("-cpu")
        assert config.get_docker_config("h100")["image"].endswith("-cuda")


def test_ray_takes_the_labels() -> None:
    for group in committed().groups:
        validate_node_label_syntax({**group.node_labels, "example.com/rack": "b-7"})


@each_cloud
def test_the_provider_is_ours_and_ray_finds_it(provider: ProviderName) -> None:
    found = _get_node_provider_cls(ray_up_file(provider)["provider"])
    assert found.__module__ == f"cluster.provision.launch.{provider}"


@each_file
def test_a_plan_reads_it(provider: ProviderName, tmp_path: Path) -> None:
    nodes = read_nodes_file(ROOT / "cluster" / f"{provider}.yaml")
    spec = committed()
    gpus = {node.gpu.name: node.num_devices for node in nodes if node.gpu}
    expected = {"gcp": {"l4-24gb", "a100-80gb", "h100-80gb"}, "azure": {"a100-80gb", "h100-80gb"}}
    assert set(gpus) == expected.get(provider, {"l4-24gb", "h100-80gb"})
    assert gpus["h100-80gb"] == 8
    (h100,) = (node for node in nodes if node.gpu and node.gpu.name == "h100-80gb")
    assert (h100.num_cpus, h100.memory_bytes) == (90, int(spec.group("h100").memory * RAY_MEMORY_SHARE))
    assert all(node.num_cpus == 0 for node in nodes if node.name.startswith("head"))
    if provider == "onprem":
        assert [node.name for node in nodes] == ["cpu-0", "h100-0", "l4-0", "l4-1"]


@each_cloud
def test_a_group_is_one_node_type(provider: ProviderName) -> None:
    """With its own limits, so that no more nodes come than the plan and the budget have."""
    spec, config = committed(), ray_up_file(provider)
    types = config["available_node_types"]
    workers = [name for name in types if name != "head"]
    assert workers == [group.name for group in spec.groups if group.name in workers]
    assert sum(types[name]["max_workers"] for name in workers) <= config["max_workers"] == spec.max_workers
    for name in workers:
        assert (types[name]["min_workers"], types[name]["max_workers"]) == (
            spec.group(name).min_nodes,
            spec.group(name).max_nodes,
        )


def names_and_markets(config: Mapping[str, Any], group: str) -> list[tuple[str, bool]]:
    return [
        (
            each.get("InstanceType") or each.get("machineType") or each["azure_arm_parameters"]["vmSize"],
            "spot" in json.dumps(each).lower(),
        )
        for name, each in node_configs(config)
        if name == group
    ]


def test_spot_machines_come_first_and_each_can_be_bought_on_demand() -> None:
    aws, gcp, azure = (ray_up_file(cloud) for cloud in CLOUDS)
    l4 = [("g6.2xlarge", True), ("g6.4xlarge", True), ("g6.2xlarge", False), ("g6.4xlarge", False)]
    assert names_and_markets(aws, "l4") == l4
    assert names_and_markets(gcp, "a100") == [("a2-ultragpu-1g", True), ("a2-ultragpu-1g", False)]
    vm_size = "Standard_NC24ads_A100_v4"
    assert names_and_markets(azure, "a100") == [(vm_size, True), (vm_size, False)]
    assert names_and_markets(aws, "cpu") == [("m7i.2xlarge", False), ("m6i.2xlarge", False)]


@each_cloud
def test_every_machine_has_what_ray_is_told(provider: ProviderName) -> None:
    config = ray_up_file(provider)
    for name, each in node_configs(config):
        ((written, _),) = names_and_markets({"available_node_types": {name: {"node_config": each}}}, name)
        machine = instance_type(written)
        told = config["available_node_types"][name]["resources"]
        assert machine is not None
        assert machine.num_cpus >= told["CPU"]
        assert machine.memory_bytes * RAY_MEMORY_SHARE >= told.get("memory", 0)
        assert machine.num_devices == told.get("GPU", 0)


@each_file
def test_the_token_goes_to_the_nodes_and_is_not_in_the_file(provider: ProviderName) -> None:
    config = ray_up_file(provider)
    assert config["file_mounts"] == {"~/.ray": "~/.ray"}
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert "RAY_AUTH_TOKEN" not in json.dumps(config)


@each_file
def test_nodes_have_the_settings_of_stowage_serve(provider: ProviderName) -> None:
    options = ray_up_file(provider)["docker"]["run_options"]
    assert {f"--env {name}={value}" for name, value in SERVE_DEFAULTS.items()} <= set(options)


@each_file
def test_objects_are_spilled_where_the_specification_says(provider: ProviderName) -> None:
    config, spill = ray_up_file(provider), committed().spill_directory
    for command in (config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]):
        assert f"mkdir -p {spill} && ray start" in command
        assert f"--object-spilling-directory={spill}" in command


def test_the_head_starts_the_autoscaler() -> None:
    for provider in RAY_UP:
        assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in str(
            ray_up_file(provider)["head_start_ray_commands"]
        )


@each_file
def test_the_committed_file_is_what_the_specification_makes(provider: ProviderName) -> None:
    path = ROOT / "cluster" / f"{provider}.yaml"
    (text,) = renderer(provider)(committed()).values()
    assert path.read_text() == text
