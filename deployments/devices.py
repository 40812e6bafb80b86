"""The GPU of a replica: the one that the plan says, made the only one in sight before CUDA starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from models.errors import ConfigError
from models.types import VersionId

logger = logging.getLogger("ray.serve")

VISIBLE = "CUDA_VISIBLE_DEVICES"
# With this, Ray leaves VISIBLE as the node has it, so that a replica can choose.
LEAVE_VISIBLE = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
# Without "GPU" in it, Ray counts the GPUs of a node as one pool, and gives every actor number 0.
UNIT_RESOURCES = "RAY_predefined_unit_instance_resources"

_MPS_FOLDER = "CUDA_MPS_PIPE_DIRECTORY"
_MPS_PERCENTAGE = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"
_MPS_DEFAULT_FOLDER = "/tmp/nvidia-mps"  # noqa: S108  NVIDIA's own default


def pin_gpus(indices: Sequence[int], environment: MutableMapping[str, str]) -> str:
    """Let this process see only the GPUs with these ``indices`` among those of its node; what CUDA calls them.

    Ray counts the GPUs that the node itself sees, so the node's own restriction is followed. ConfigError when it
    has fewer.
    """
    seen = environment.get(VISIBLE)
    names = seen.split(",") if seen else None
    if names is not None and max(indices) >= len(names):
        raise ConfigError(
            f"the plan wants GPU {max(indices)} of this node, which sees {len(names)}: {VISIBLE}={seen}",
            remedy="plan for the GPUs that the node offers",
        )
    pinned = ",".join(str(index) if names is None else names[index].strip() for index in indices)
    environment[VISIBLE] = pinned
    return pinned


def assigned_gpu(model: VersionId, environment: Mapping[str, str]) -> str:
    """What CUDA calls the GPU that Ray has assigned.

    ConfigError where Ray assigns none, and where it counts all GPUs of the node as one: every replica without a
    place would be on the first.
    """
    if "GPU" not in environment.get(UNIT_RESOURCES, "GPU").split(","):
        raise ConfigError(
            f"{model} has no placement, and its node counts its GPUs as one pool ({UNIT_RESOURCES})",
            remedy="write the plan into the configuration: stowage plan CONFIG --address URL --write CONFIG",
        )
    assigned = environment.get(VISIBLE)
    if not assigned:
        raise ConfigError(
            f"{model} is planned for a GPU, but Ray has assigned it none",
            remedy="do not override num_gpus with 0",
        )
    return assigned


def share_compute(model: VersionId, percent: float, environment: MutableMapping[str, str]) -> bool:
    """Cap the share of the GPU's threads, where an MPS daemon runs; whether one does.

    https://docs.nvidia.com/deploy/mps/: CUDA reads the percentage when the process first uses a device.
    """
    folder = Path(environment.get(_MPS_FOLDER, _MPS_DEFAULT_FOLDER))
    if not (folder / "control").exists():
        logger.warning(
            "compute_share %g%% of %s has no effect: no MPS daemon has its pipe in %s.", percent, model, folder
        )
        return False
    environment[_MPS_PERCENTAGE] = f"{percent:g}"
    logger.info("%s may use %g%% of the GPU's threads.", model, percent)
    return True
