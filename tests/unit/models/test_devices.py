from __future__ import annotations

import re

import pytest
from ray._private.accelerators.amd_gpu import amd_product_dict
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

from models.devices import DEVICES, device_named, device_of_driver, devices_of_type
from models.errors import ConfigError
from models.hardware import Device
from tests.unit.source_tree import ROOT

MIB = 1024**2
DOCUMENT = ROOT / "docs" / "hardware.md"


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_usable_is_a_little_less_than_the_driver_s_total(device: Device) -> None:
    assert device_named(device.name) is device
    assert device.source
    assert 0.92 * device.memory_bytes < device.usable_bytes < device.memory_bytes


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_the_name_says_the_memory_that_is_sold(device: Device) -> None:
    """In units of 10^9 bytes or of GiB: makers mix them."""
    match = re.search(r"-(\d+)gb$", device.name)
    assert match is not None
    sold_bytes = int(match[1]) * 1e9
    assert 0.95 * sold_bytes < device.memory_bytes < 1.08 * sold_bytes


def test_names_are_unique() -> None:
    assert len({device.name for device in DEVICES}) == len(DEVICES)
    drivers = [name for device in DEVICES for name in device.driver_names]
    assert len(set(drivers)) == len(drivers)


@pytest.mark.parametrize(
    ("driver_name", "accelerator_type"),
    [(name, device.accelerator_type) for device in DEVICES for name in device.driver_names],
)
def test_ray_makes_the_accelerator_type_of_the_driver_s_name(driver_name: str, accelerator_type: str) -> None:
    made = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(driver_name)  # type: ignore[no-untyped-call]
    assert made == accelerator_type


def test_ray_knows_the_types_of_amd() -> None:
    types = {device.accelerator_type for device in DEVICES if not device.driver_names}
    assert types
    assert types <= set(amd_product_dict.values())


def test_what_the_issue_asks_for_is_there() -> None:
    assert device_named("h100-80gb").usable_bytes == 80993 * MIB
    assert device_named("t4-16gb").memory_bytes == 15360 * MIB


@pytest.mark.parametrize(
    ("name", "near"), [("h100", "h100-80gb"), ("A100-80GB", "a100-80gb"), ("rtx4090", "rtx-4090-24gb")]
)
def test_an_unknown_device_is_refused_with_names_like_it(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"--device is '{name}'.*{near}"):
        device_named(name, "--device")


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(ConfigError, match=r"a10-24gb or .*v100-32gb"):
        device_named("§")


def test_ray_does_not_tell_sizes_of_some_types_apart() -> None:
    assert [device.name for device in devices_of_type("A100")] == ["a100-40gb", "a100-80gb"]
    assert [device.name for device in devices_of_type("L4")] == ["l4-24gb"]
    assert devices_of_type("Voodoo2") == ()
    assert devices_of_type(None) == ()


@pytest.mark.parametrize("name", ["NVIDIA H100 80GB HBM3", "NVIDIA-H100-80GB-HBM3"])
def test_a_device_is_found_by_the_driver_s_name(name: str) -> None:
    assert device_of_driver(name) is device_named("h100-80gb")


@pytest.mark.parametrize("name", ["", "H100", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"])
def test_a_name_of_no_driver_is_none(name: str) -> None:
    assert device_of_driver(name) is None


def test_the_documented_table_is_this_one() -> None:
    rows = re.findall(r"^\| `(.+-\d+gb)` \| `(.+)` \| (\d+) \| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert [(name, kind, int(total) * MIB, int(usable) * MIB) for name, kind, total, usable in rows] == [
        (device.name, device.accelerator_type, device.memory_bytes, device.usable_bytes) for device in DEVICES
    ]
