"""The clouds' instance types with GPUs: vCPUs, GiB of memory, device, number of devices."""

from __future__ import annotations

from collections.abc import Mapping

Row = tuple[int, int, str, int]


def _sizes(prefix: str, device: str, rows: Mapping[str, tuple[int, int, int]]) -> dict[str, Row]:
    """One family: by size, its vCPUs, GiB and number of devices."""
    return {f"{prefix}{size}": (cpus, gib, device, count) for size, (cpus, gib, count) in rows.items()}


# g5 and g6 have the same sizes.
_G5 = {
    "xlarge": (4, 16, 1),
    "2xlarge": (8, 32, 1),
    "4xlarge": (16, 64, 1),
    "8xlarge": (32, 128, 1),
    "12xlarge": (48, 192, 4),
    "16xlarge": (64, 256, 1),
    "24xlarge": (96, 384, 4),
    "48xlarge": (192, 768, 8),
}
_AWS = {
    **_sizes(
        "g4dn.",
        "t4-16gb",
        {
            "xlarge": (4, 16, 1),
            "2xlarge": (8, 32, 1),
            "4xlarge": (16, 64, 1),
            "8xlarge": (32, 128, 1),
            "12xlarge": (48, 192, 4),
            "16xlarge": (64, 256, 1),
            "metal": (96, 384, 8),
        },
    ),
    **_sizes("g5.", "a10g-24gb", _G5),
    **_sizes("g6.", "l4-24gb", _G5),
    **_sizes("g6e.", "l40s-48gb", {size: (cpus, 2 * gib, count) for size, (cpus, gib, count) in _G5.items()}),
    **_sizes("p3.", "v100-16gb", {"2xlarge": (8, 61, 1), "8xlarge": (32, 244, 4), "16xlarge": (64, 488, 8)}),
    "p3dn.24xlarge": (96, 768, "v100-32gb", 8),
    "p4d.24xlarge": (96, 1152, "a100-40gb", 8),
    "p4de.24xlarge": (96, 1152, "a100-80gb", 8),
    "p5.4xlarge": (16, 256, "h100-80gb", 1),
    "p5.48xlarge": (192, 2048, "h100-80gb", 8),
    "p5e.48xlarge": (192, 2048, "h200-141gb", 8),
    "p5en.48xlarge": (192, 2048, "h200-141gb", 8),
    "p6-b200.48xlarge": (192, 2048, "b200-180gb", 8),
}
_GCP = {
    **_sizes(
        "g2-standard-",
        "l4-24gb",
        {
            "4": (4, 16, 1),
            "8": (8, 32, 1),
            "12": (12, 48, 1),
            "16": (16, 64, 1),
            "24": (24, 96, 2),
            "32": (32, 128, 1),
            "48": (48, 192, 4),
            "96": (96, 384, 8),
        },
    ),
    **_sizes(
        "a2-highgpu-",
        "a100-40gb",
        {"1g": (12, 85, 1), "2g": (24, 170, 2), "4g": (48, 340, 4), "8g": (96, 680, 8)},
    ),
    "a2-megagpu-16g": (96, 1360, "a100-40gb", 16),
    **_sizes(
        "a2-ultragpu-",
        "a100-80gb",
        {"1g": (12, 170, 1), "2g": (24, 340, 2), "4g": (48, 680, 4), "8g": (96, 1360, 8)},
    ),
    **_sizes(
        "a3-highgpu-",
        "h100-80gb",
        {"1g": (26, 234, 1), "2g": (52, 468, 2), "4g": (104, 936, 4), "8g": (208, 1872, 8)},
    ),
    "a3-megagpu-8g": (208, 1872, "h100-80gb", 8),
    "a3-ultragpu-8g": (224, 2952, "h200-141gb", 8),
    "a4-highgpu-8g": (224, 3968, "b200-180gb", 8),
}
_AZURE = {
    "standard_nc4as_t4_v3": (4, 28, "t4-16gb", 1),
    "standard_nc8as_t4_v3": (8, 56, "t4-16gb", 1),
    "standard_nc16as_t4_v3": (16, 110, "t4-16gb", 1),
    "standard_nc64as_t4_v3": (64, 440, "t4-16gb", 4),
    "standard_nc6s_v3": (6, 112, "v100-16gb", 1),
    "standard_nc12s_v3": (12, 224, "v100-16gb", 2),
    "standard_nc24s_v3": (24, 448, "v100-16gb", 4),
    "standard_nc24ads_a100_v4": (24, 220, "a100-80gb", 1),
    "standard_nc48ads_a100_v4": (48, 440, "a100-80gb", 2),
    "standard_nc96ads_a100_v4": (96, 880, "a100-80gb", 4),
    "standard_nd96asr_v4": (96, 900, "a100-40gb", 8),
    "standard_nd96amsr_a100_v4": (96, 1900, "a100-80gb", 8),
    "standard_nc40ads_h100_v5": (40, 320, "h100-94gb", 1),
    "standard_nc80adis_h100_v5": (80, 640, "h100-94gb", 2),
    "standard_nd96isr_h100_v5": (96, 1900, "h100-80gb", 8),
    "standard_nd96isr_h200_v5": (96, 1850, "h200-141gb", 8),
    "standard_nv36ads_a10_v5": (36, 440, "a10-24gb", 1),
    "standard_nv72ads_a10_v5": (72, 880, "a10-24gb", 2),
}
GPU_TYPES: Mapping[str, Row] = {**_AWS, **_GCP, **_AZURE}
"""By the type's name in lower case. Sources: the descriptions of instance types of AWS, Google Cloud and Azure."""
