"""The rendered shell commands, run by a real shell with stand-ins for what a node has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cluster.provision.registry import ProviderName
from cluster.provision.start_commands import module_check, user_check, version_check
from tests.unit.cluster.provision.rendered import ray_up_file
from tests.unit.cluster.provision.specs import committed


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder of programs."""
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(node: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{node}:{os.environ['PATH']}", "RAY_HEAD_IP": "10.0.0.10"}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False, cwd=node
    )


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("10.0.0.20", " --num-cpus=7 --memory=21045339750 --labels=stowage.io/group=cpu,stowage.io/node=cpu-0"),
        (
            "10.0.0.31",
            " --num-gpus=1 --labels=stowage.io/group=l4,stowage.io/device=l4-24gb,stowage.io/node=l4-1",
        ),
    ],
)
def test_a_machine_of_one_s_own_finds_what_it_has(node: Path, address: str, options: str) -> None:
    program(node, "hostname", f"echo '172.17.0.1 {address} fe80::1'")
    program(node, "mkdir", "true")
    program(node, "ray", 'echo "ray $*"')
    ran = run(node, ray_up_file(ProviderName.ONPREM)["worker_start_ray_commands"][-1])
    assert ran.returncode == 0
    assert ran.stdout.startswith("ray start --address=10.0.0.10:6379 ")
    assert ran.stdout.strip().endswith(options)


def test_a_machine_that_is_not_in_the_list_does_not_start(node: Path) -> None:
    program(node, "hostname", "echo 10.0.0.3")
    program(node, "ray", "echo started")
    ran = run(node, ray_up_file(ProviderName.ONPREM)["worker_start_ray_commands"][-1])
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "none of 10.0.0.3 is a worker of cluster/cluster.yaml" in ran.stderr


@pytest.mark.parametrize(("uid", "code"), [("1000", 0), ("1001", 1)])
def test_a_host_with_another_user_id_says_so(node: Path, uid: str, code: int) -> None:
    program(node, "id", f"echo {uid}")
    program(node, "whoami", "echo ubuntu")
    ran = run(node, user_check(committed()))
    assert ran.returncode == code
    assert ("user ubuntu has the id 1001, that of the image 1000" in ran.stderr) is bool(code)


@pytest.mark.parametrize(("version", "code"), [("2.60.0", 0), ("2.59.0", 1)])
def test_an_image_with_another_ray_says_so(node: Path, version: str, code: int) -> None:
    program(node, "python", f"echo {version}")
    ran = run(node, version_check(committed()))
    assert ran.returncode == code
    assert ("the image has Ray 2.59.0, the cluster 2.60.0" in ran.stderr) is bool(code)


@pytest.mark.parametrize("code", [0, 1])
def test_an_image_without_the_cloud_s_library_says_so(node: Path, code: int) -> None:
    program(node, "python", f"exit {code}")
    ran = run(node, module_check("boto3", "aws"))
    assert ran.returncode == code
    assert ("build it with --build-arg EXTRAS=aws" in ran.stderr) is bool(code)


def test_a_node_with_gpus_waits_for_its_driver(node: Path) -> None:
    """The third time nvidia-smi works."""
    program(node, "nvidia-smi", "echo x >> tries; test $(wc -l < tries) -ge 3")
    program(node, "sleep", "true")
    (command,) = [
        each
        for each in ray_up_file(ProviderName.GCP)["available_node_types"]["l4"]["initialization_commands"]
        if "nvidia-smi" in each
    ]
    assert run(node, command).returncode == 0
    assert (node / "tries").read_text().count("x") == 3
    program(node, "nvidia-smi", "false")
    ran = run(node, command)
    assert (ran.returncode, "finds no working driver" in ran.stderr) == (1, True)
