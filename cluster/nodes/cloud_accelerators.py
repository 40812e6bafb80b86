"""What Google Cloud, and with it the nodes of GKE, calls the devices of the table.

Source: Google Cloud, "GPU platforms"; a V100 there has 16 GB.
"""

from __future__ import annotations

from collections.abc import Mapping

DEVICE_OF_CLOUD_NAME: Mapping[str, str] = {
    "nvidia-tesla-t4": "t4-16gb",
    "nvidia-tesla-v100": "v100-16gb",
    "nvidia-l4": "l4-24gb",
    "nvidia-tesla-a100": "a100-40gb",
    "nvidia-a100-80gb": "a100-80gb",
    "nvidia-h100-80gb": "h100-80gb",
    "nvidia-h100-mega-80gb": "h100-80gb",
    "nvidia-h200-141gb": "h200-141gb",
    "nvidia-b200": "b200-180gb",
    "nvidia-gb200": "gb200-186gb",
    "nvidia-rtx-pro-6000": "rtx-pro-6000-96gb",
}
