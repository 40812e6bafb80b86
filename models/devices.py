"""The table of accelerators, by the figures of drivers: data sheets count in decimal and round.

Each row has two figures in MiB. *Total* is what the driver's tool says (``nvidia-smi``, ``amd-smi``). *Usable* is
the smallest total that CUDA offered a program on such a card in public reports (``cudaMemGetInfo``, PyTorch's
"total capacity"): the driver and its firmware keep the difference, and newer drivers keep more.
"""

from __future__ import annotations

import difflib

from models.errors import ConfigError
from models.hardware import Device

_MIB = 1024**2
_SEEN = "driver's total; smallest CUDA total in reports of 2023 to 2026"
_CLASS_24 = "driver's total; smallest CUDA total in reports on A10G, A10 and L4, which do not always name the card"
_CLASS_48 = "driver's total with ECC; smallest CUDA total in reports on A40, L40 and L40S with ECC"
_ECC = "driver's total without ECC; usable is that of 48 GB cards with ECC, which these cards can switch on"
_GEFORCE_24 = "driver's total; smallest CUDA total in reports on RTX 3090 and 4090, which do not name the card"
_DERIVED = "driver's total; usable is derived, not reported: 6% less"
_ROCM = "driver's total; smallest HIP total in reports. For planning: serving on ROCm was never tried"


def _gpu(
    name: str, accelerator_type: str, mib: tuple[int, int], drivers: tuple[str, ...], source: str = _SEEN
) -> Device:
    total, usable = mib
    return Device(name, "cuda", total * _MIB, usable * _MIB, accelerator_type, source, drivers)


DEVICES = (
    _gpu("t4-16gb", "T4", (15360, 14904), ("Tesla T4",)),
    _gpu("v100-16gb", "V100", (16384, 16143), ("Tesla V100-SXM2-16GB", "Tesla V100-PCIE-16GB")),
    _gpu("v100-32gb", "V100", (32768, 32486), ("Tesla V100-SXM2-32GB", "Tesla V100-PCIE-32GB")),
    _gpu("a10-24gb", "A10", (23028, 22481), ("NVIDIA A10",), _CLASS_24),
    _gpu("a10g-24gb", "A10G", (23028, 22481), ("NVIDIA A10G",), _CLASS_24),
    _gpu("a40-48gb", "A40", (46068, 45399), ("NVIDIA A40",), _CLASS_48),
    _gpu("a100-40gb", "A100", (40960, 40320), ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB")),
    _gpu("a100-80gb", "A100", (81920, 81034), ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe")),
    _gpu("l4-24gb", "L4", (23034, 22481), ("NVIDIA L4",), _CLASS_24),
    _gpu("l40-48gb", "L40", (46068, 45399), ("NVIDIA L40",), _CLASS_48),
    _gpu("l40s-48gb", "L40S", (46068, 45399), ("NVIDIA L40S",), _CLASS_48),
    _gpu("h100-80gb", "H100", (81559, 80993), ("NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe")),
    _gpu("h100-94gb", "H100", (95830, 95226), ("NVIDIA H100 NVL",)),
    _gpu("h200-141gb", "H200", (143771, 143068), ("NVIDIA H200", "NVIDIA H200 NVL")),
    _gpu("b200-180gb", "B200", (183359, 182625), ("NVIDIA B200",)),
    _gpu("gb200-186gb", "GB200", (189471, 188728), ("NVIDIA GB200",)),
    _gpu("rtx-3090-24gb", "GeForce-RTX-3090", (24576, 23966), ("NVIDIA GeForce RTX 3090",), _GEFORCE_24),
    _gpu("rtx-4090-24gb", "GeForce-RTX-4090", (24564, 23966), ("NVIDIA GeForce RTX 4090",), _GEFORCE_24),
    _gpu("rtx-5090-32gb", "GeForce-RTX-5090", (32607, 32087), ("NVIDIA GeForce RTX 5090",)),
    _gpu("quadro-rtx-6000-24gb", "RTX-6000", (24576, 23101), ("Quadro RTX 6000",), _DERIVED),
    _gpu("rtx-a6000-48gb", "RTX-A6000", (49140, 45399), ("NVIDIA RTX A6000",), _ECC),
    _gpu("rtx-6000-ada-48gb", "RTX-6000", (49140, 45399), ("NVIDIA RTX 6000 Ada Generation",), _ECC),
    _gpu(
        "rtx-pro-6000-96gb",
        "RTX-PRO-6000",
        (97887, 97233),
        (
            "NVIDIA RTX PRO 6000 Blackwell Server Edition",
            "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        ),
    ),
    _gpu("mi300x-192gb", "AMD-Instinct-MI300X-OAM", (196592, 196285), (), _ROCM),
    _gpu("mi325x-256gb", "AMD-Instinct-MI325X-OAM", (262128, 261821), (), _ROCM),
)


def device_named(name: str, where: str = "device") -> Device:
    """The device of the table called ``name``; ConfigError, with the names that are most like it, for others.

    ``where`` is what the operator wrote the name into, for the message.
    """
    by_name = {device.name: device for device in DEVICES}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name.lower(), by_name, n=3, cutoff=0.4) or sorted(by_name)
    raise ConfigError(
        f"{where} is {name!r}, which no device of the table is called",
        remedy=f"write {' or '.join(near)}, or add a row to models/devices.py",
    )


def devices_of_type(accelerator_type: str | None) -> tuple[Device, ...]:
    """Every device that Ray calls so; several where Ray does not tell sizes apart, none for an unknown one."""
    return tuple(device for device in DEVICES if device.accelerator_type == accelerator_type is not None)


def device_of_driver(driver_name: str) -> Device | None:
    """The device that the driver calls so, as NVML and PyTorch say it; None for one that is not in the table.

    Kubernetes' ``nvidia.com/gpu.product`` is the same name with hyphens for spaces, and is accepted as well.
    """
    wanted = driver_name.replace(" ", "-")
    for device in DEVICES:
        if wanted in (known.replace(" ", "-") for known in device.driver_names):
            return device
    return None
