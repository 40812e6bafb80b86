from __future__ import annotations

import pytest

from cluster.nodes.gpu_instance_types import GPU_TYPES
from cluster.nodes.instance_types import instance_type
from models.devices import device_named

GIB = 1024**3


@pytest.mark.parametrize("name", GPU_TYPES)
def test_every_type_with_gpus_names_a_device(name: str) -> None:
    known = instance_type(name)
    assert known is not None
    assert known.device is not None
    assert device_named(known.device).name == known.device
    assert known.num_devices in (1, 2, 4, 8, 16)
    assert 3 <= known.memory_bytes / GIB / known.num_cpus <= 24


@pytest.mark.parametrize(
    ("name", "num_cpus", "gib"),
    [
        ("m5.large", 2, 8),
        ("m7i.48xlarge", 192, 768),
        ("c5.9xlarge", 36, 72),
        ("c6gn.xlarge", 4, 8),
        ("r6idn.2xlarge", 8, 64),
        ("t3.xlarge", 4, 16),
        ("n1-standard-8", 8, 30),
        ("n1-highmem-4", 4, 26),
        ("e2-highcpu-16", 16, 16),
        ("c3-highcpu-22", 22, 44),
        ("Standard_D4s_v5", 4, 16),
        ("Standard_D64_v3", 64, 256),
        ("Standard_F8s_v2", 8, 16),
    ],
)
def test_types_without_gpus_follow_from_their_names(name: str, num_cpus: int, gib: int) -> None:
    known = instance_type(name)
    assert known is not None
    assert (known.num_cpus, known.memory_bytes, known.device) == (num_cpus, gib * GIB, None)


def test_the_case_of_azure_s_names_does_not_matter() -> None:
    known = instance_type("Standard_NC24ads_A100_v4")
    assert known is not None
    assert (known.num_cpus, known.device, known.num_devices) == (24, "a100-80gb", 1)


@pytest.mark.parametrize(
    "name", ["", "c5n.xlarge", "m5.metal", "m5.2large", "t3.micro", "n4-standard-2", "Standard_D2_v2", "p6e-gb300"]
)
def test_a_type_that_is_not_known_is_none(name: str) -> None:
    assert instance_type(name) is None
