"""What the clouds' instance types consist of, from their public descriptions. Memory in GiB, as the clouds count.

Types with GPUs are in a table; those without follow from their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cluster.nodes.gpu_instance_types import GPU_TYPES


@dataclass(frozen=True, slots=True)
class InstanceType:
    """``device`` is a name of the device table, None without GPUs."""

    name: str
    num_cpus: int
    memory_bytes: int
    device: str | None = None
    num_devices: int = 0


_GIB = 1024**3
# GiB for each vCPU, by what the name begins with. Families that differ (as c5n does) are not matched.
_AWS = re.compile(
    r"(?!c5n)(?:(?P<family>[mcr])[5-8](?:a|i|g|n|d|ad|gd|gn|dn|zn|in|id|idn)?|t3a?)\.(?P<times>\d*)(?P<size>xlarge|large)"
)
_AWS_GIB = {"m": 4.0, "c": 2.0, "r": 8.0, None: 4.0}
_GCP = re.compile(r"(?P<family>\w+-(?:standard|highmem|highcpu))-(?P<cpus>\d+)")
_GCP_GIB = {
    "n1-standard": 3.75,
    "n1-highmem": 6.5,
    "n1-highcpu": 0.9,
    **dict.fromkeys([f"{series}-standard" for series in ("n2", "n2d", "e2", "c2", "c2d", "c3")], 4.0),
    **dict.fromkeys([f"{series}-highmem" for series in ("n2", "n2d", "e2", "c2d", "c3")], 8.0),
    **dict.fromkeys([f"{series}-highcpu" for series in ("n2", "n2d", "e2")], 1.0),
    **dict.fromkeys([f"{series}-highcpu" for series in ("c2d", "c3")], 2.0),
}
_AZURE = re.compile(r"standard_(?:d(?P<d>\d+)(?:a|d|ad)?s?_v[3-6]|f(?P<f>\d+)s_v2)")


def instance_type(name: str) -> InstanceType | None:
    """AWS's, Google Cloud's or Azure's type of this name; None for one that is not known."""
    if row := GPU_TYPES.get(name.lower()):
        num_cpus, gib, device, num_devices = row
        return InstanceType(name, num_cpus, gib * _GIB, device, num_devices)
    return _aws(name) or _gcp(name) or _azure(name)


def _aws(name: str) -> InstanceType | None:
    """``large`` is 2 vCPUs, ``xlarge`` 4, ``12xlarge`` 48."""
    match = _AWS.fullmatch(name)
    if match is None or (match["times"] and match["size"] == "large"):
        return None
    num_cpus = 2 if match["size"] == "large" else 4 * int(match["times"] or 1)
    return _without_gpu(name, num_cpus, _AWS_GIB[match["family"]])


def _gcp(name: str) -> InstanceType | None:
    match = _GCP.fullmatch(name)
    if match is None or match["family"] not in _GCP_GIB:
        return None
    return _without_gpu(name, int(match["cpus"]), _GCP_GIB[match["family"]])


def _azure(name: str) -> InstanceType | None:
    match = _AZURE.fullmatch(name.lower())
    if match is None:
        return None
    return _without_gpu(name, int(match["d"]), 4.0) if match["d"] else _without_gpu(name, int(match["f"]), 2.0)


def _without_gpu(name: str, num_cpus: int, gib_per_cpu: float) -> InstanceType:
    return InstanceType(name, num_cpus, int(num_cpus * gib_per_cpu * _GIB))
