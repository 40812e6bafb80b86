"""`ray up` and `ray down` of the rendered file, as commands, against EC2 as moto serves it on loopback.

There is no machine to log into: ssh, rsync, docker and ray on PATH stand for those of the nodes (ssh_machine.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
import yaml
from ray.autoscaler._private.aws.utils import client_cache, resource_cache
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler.v2.instance_manager.config import FileConfigReader

from cluster.config.environment import SERVE_DEFAULTS
from tests.autoscaler import Autoscaler, Demand
from tests.integration import ssh_machine
from tests.moto_server import moto_server
from tests.unit.cluster.provision.specs import committed, written
from tests.unit.source_tree import ROOT

AN_IMAGE_OF_MOTO = "ami-12c6146b"
REGION = "us-west-2"
TOKEN = "the-token-of-the-cluster"
PATIENCE_S = 240
GPU_DEMAND: Demand = ({"GPU": 0.5, "CPU": 1.0}, {"stowage.io/device": "l4-24gb"})


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody with a home, a rendered file and an account at moto's EC2."""

    folder: Path
    file: Path
    environment: Mapping[str, str]
    ec2: Any

    @property
    def machines(self) -> Path:
        return self.folder / "machines"

    def ray(self, command: str, *options: str) -> str:
        arguments = [f"{Path(sys.executable).parent}/ray", command, str(self.file), "--yes", *options]
        ran = subprocess.run(
            arguments, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def instances(self, **tags: str) -> list[Any]:
        """Those that run."""
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        alive = {"Name": "instance-state-name", "Values": ["pending", "running"]}
        return list(self.ec2.instances.filter(Filters=[alive, *filters]))

    def starts_of_ray(self, address: str) -> list[dict[str, Any]]:
        """What `ray start` was given on a machine: ``arguments`` and ``environment``."""
        return [
            dict(entry)
            for entry in ssh_machine.log(self.machines)
            if entry["program"] == "ray" and entry["address"] == address and "start" in str(entry["arguments"])
        ]


@pytest.fixture
def endpoint() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture
def operator(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(TOKEN)
    (tmp_path / "tmp").mkdir()
    account = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(home),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": str(ROOT),
        **ssh_machine.install(tmp_path / "machines"),
    }
    for name, value in account.items():
        monkeypatch.setenv(name, value)
    for cache in (resource_cache, client_cache):  # Ray keeps its clients, and with them where EC2 is
        cache.cache_clear()
    yield Operator(tmp_path, _rendered(tmp_path), dict(os.environ), boto3.resource("ec2", region_name=REGION))
    for cache in (resource_cache, client_cache):
        cache.cache_clear()


def _rendered(folder: Path) -> Path:
    """The committed specification with an image that moto has, rendered by the command."""
    spec, file = written(folder, {("aws", "image"): AN_IMAGE_OF_MOTO}), folder / "aws.yaml"
    command = [sys.executable, "-c", "from cluster.cli import main; main()", "cluster", "render", "aws"]
    subprocess.run([*command, "--spec", spec, "--output", file], check=True, cwd=ROOT)
    iam = boto3.client("iam", region_name=REGION)
    for profile in ("stowage-head", "stowage-worker"):
        iam.create_instance_profile(InstanceProfileName=profile)
    return file


def test_a_cluster_comes_up_grows_and_leaves_nothing(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.ray("up", "--no-config-cache")
    head = _check_head(operator)
    monkeypatch.setenv("HOME", str(ssh_machine.container(operator.machines, head.public_ip_address)))
    _grow(operator, head)
    _check_workers(operator)
    monkeypatch.undo()
    operator.ray("down")
    assert operator.instances() == []
    assert {each.state["Name"] for each in operator.ec2.instances.all()} == {"terminated"}
    assert list(operator.ec2.volumes.all()) == []
    left = {group.group_name for group in operator.ec2.security_groups.all()} - {"default"}
    assert left == {"ray-autoscaler-stowage"}  # as docs/cluster.md says


def _check_head(operator: Operator) -> Any:
    (head,) = operator.instances()
    spec = committed()
    tags = {tag["Key"]: tag["Value"] for tag in head.tags}
    assert (tags["ray-cluster-name"], tags["ray-node-type"], tags["ray-user-node-type"]) == (
        "stowage",
        "head",
        "head",
    )
    assert tags["ray-node-status"] == "up-to-date"
    assert (head.instance_type, head.instance_lifecycle) == ("m7i.xlarge", None)
    assert head.iam_instance_profile["Arn"].endswith("/stowage-head")
    assert [volume.size for volume in head.volumes.all()] == [100]
    ran = operator.starts_of_ray(head.public_ip_address)[-1]
    assert ran["arguments"][:2] == ["start", "--head"]
    assert any(each.startswith("--autoscaling-config=") for each in ran["arguments"])
    environment = ran["environment"]
    assert (environment["RAY_AUTH_MODE"], environment["token"]) == ("token", TOKEN)
    assert environment["RAY_enable_autoscaler_v2"] == "1"
    assert environment["RAY_OVERRIDE_RESOURCES"] == '{"CPU":0}'
    assert {name: environment[name] for name in SERVE_DEFAULTS if name in environment} == {
        name: value for name, value in SERVE_DEFAULTS.items() if name.startswith(("RAY_", "STOWAGE_"))
    }
    assert _image(operator, head.public_ip_address) == spec.image.reference(gpu=False)
    return head


def _image(operator: Operator, address: str) -> str:
    (pulled,) = {
        str(entry["arguments"][1])
        for entry in ssh_machine.log(operator.machines)
        if entry["program"] == "docker" and entry["address"] == address and entry["arguments"][0] == "pull"
    }
    return pulled


def _grow(operator: Operator, head: Any) -> None:
    """By what the file wants at any time, and one replica on an L4."""
    config_file = ssh_machine.container(operator.machines, head.public_ip_address) / "ray_bootstrap_config.yaml"
    assert TOKEN not in config_file.read_text()
    config = cast("Any", FileConfigReader)(
        str(config_file), skip_content_hash=False
    ).get_cached_autoscaling_config()
    provider = _get_node_provider(config.get_provider_config(), config.get_config("cluster_name"))
    autoscaler = Autoscaler(config, provider, head.id, head.private_ip_address)
    wanted, deadline = committed().group("cpu").min_nodes + 1, time.monotonic() + PATIENCE_S
    ready: list[Any] = []
    while len(ready) < wanted:
        assert time.monotonic() < deadline, [each.tags for each in operator.instances()]
        assert autoscaler.install_errors.empty(), autoscaler.install_errors.get()
        autoscaler.reconcile([GPU_DEMAND])
        time.sleep(0.2)
        ready = operator.instances(**{"ray-node-type": "worker", "ray-node-status": "up-to-date"})
    assert len(operator.instances(**{"ray-node-type": "worker"})) == wanted


def _check_workers(operator: Operator) -> None:
    spec = committed()
    file = yaml.safe_load(operator.file.read_text())
    for group, lifecycle, count in (("cpu", None, spec.group("cpu").min_nodes), ("l4", "spot", 1)):
        workers = operator.instances(**{"ray-user-node-type": group})
        assert len(workers) == count
        node_type = file["available_node_types"][group]
        for worker in workers:
            assert (worker.instance_type, worker.instance_lifecycle) == (
                node_type["node_config"]["InstanceType"],
                lifecycle,
            )
            assert worker.iam_instance_profile["Arn"].endswith("/stowage-worker")
            assert [volume.size for volume in worker.volumes.all()] == [int(spec.group(group).disk / 1024**3)]
            assert worker.subnet.availability_zone in file["provider"]["availability_zone"].split(",")
            (ran,) = operator.starts_of_ray(worker.private_ip_address)
            environment = ran["environment"]
            assert yaml.safe_load(environment["RAY_OVERRIDE_LABELS"]) == spec.group(group).node_labels
            assert yaml.safe_load(environment["RAY_OVERRIDE_RESOURCES"]) == node_type["resources"]
            assert environment["RAY_NODE_TYPE_NAME"] == group
            assert environment["token"] == TOKEN
            assert f"--address={environment['RAY_HEAD_IP']}:6379" in ran["arguments"]
            assert _image(operator, worker.private_ip_address) == spec.image.reference(gpu=group == "l4")
