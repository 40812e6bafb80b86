"""How vLLM's own server is started: nothing but what was planned, on a Unix socket. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from pathlib import Path

from models.engines.base import EngineSettings
from models.errors import ConfigError
from models.hardware import SLOW_DISK_BYTES_PER_S
from models.manifest import Manifest
from models.parallel.layout import GroupLayout

_SERVER = "vllm.entrypoints.openai.api_server"

# Pages of other sizes are refused by vLLM's attention kernels, or slow.
_PAGE_TOKENS = 16

# Ours to say: VLLM_CPU_KVCACHE_SPACE, for one, would take the place of the planned bytes. With PYTHONPATH it would
# import what is installed for us.
_OWN = ("VLLM_", "PYTHON", "RAY_")

# vLLM wants this share of a GPU to be free when it starts. With given bytes it follows from nothing else.
_GPU_SHARE = "0.01"

# Traced, compiled by nothing. Without any compilation vLLM 0.32 skips its first step on a CPU, in which a stage
# makes the buffers for what comes from the one before it, and fails at the first request.
_TRACED = '{"mode": 2, "backend": "eager"}'

# Weights that sleep are pinned in the node's memory, a block for each segment of the GPU's. Torch rounds blocks of
# this size or less up to a power of two, and keeps them after the wake; where no size is given, all of them.
_EXACT_PINNING = "pinned_max_cached_size_mb:1"

_IMPORT_S = 180.0


def start_limit_s(weight_bytes: int) -> float:
    """How long it may take until the server answers: its imports, then weights from a slow disk."""
    return _IMPORT_S + weight_bytes / SLOW_DISK_BYTES_PER_S


def check(manifest: Manifest, settings: EngineSettings) -> None:
    """ConfigError for settings that vLLM cannot honour."""
    if settings.page_size % _PAGE_TOKENS:
        raise ConfigError(
            f"{manifest.id} has limits.page_size {settings.page_size}, which vLLM cannot page with",
            remedy=f"set limits.page_size to a multiple of {_PAGE_TOKENS}",
        )


def command(python: Path, folder: Path, manifest: Manifest, settings: EngineSettings, socket: Path) -> list[str]:
    """The command line."""
    options = {
        "model": folder,
        "served-model-name": manifest.id,
        "uds": socket,
        "dtype": manifest.dtype,
        "load-format": "safetensors",
        "generation-config": "vllm",  # not the model's own temperature and the like
        "structured-outputs-config.backend": "guidance",  # the library of our own grammars
        "max-model-len": settings.max_model_len,
        "max-num-seqs": settings.max_num_seqs,
        "max-num-batched-tokens": settings.max_batch_tokens,
        "block-size": settings.page_size,
        "kv-cache-memory-bytes": settings.kv_cache_bytes,
        **_degree(settings.group),
    }
    given = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    switches = ["--enable-scale-out", "--enable-prefix-caching", "--disable-uvicorn-access-log"]
    return [str(python), "-m", _SERVER, *given, *switches, *_of_device(settings)]


def environment(settings: EngineSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """``inherited`` without what would change the plan, and what vLLM takes only from its environment."""
    own = {name: value for name, value in inherited.items() if not name.startswith(_OWN)}
    return own | {
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_HOST_IP": "127.0.0.1",
        "OMP_NUM_THREADS": str(settings.num_threads),
        **_of_executor(settings),
    }


def _degree(group: GroupLayout | None) -> dict[str, object]:
    if group is None:
        return {}
    return {
        "tensor-parallel-size": group.degree.tensor,
        "pipeline-parallel-size": group.degree.pipeline,
        "distributed-executor-backend": "mp",
    }


def _of_device(settings: EngineSettings) -> list[str]:
    """On a CPU torch.compile would take minutes of each start."""
    if settings.device != "cpu":
        sleeps = settings.sleep_after_s is not None
        return ["--gpu-memory-utilization", _GPU_SHARE, *(["--enable-sleep-mode"] if sleeps else [])]
    if settings.group is None or settings.group.degree.pipeline == 1:
        return ["--enforce-eager"]
    return ["--compilation-config", _TRACED]


def _of_executor(settings: EngineSettings) -> dict[str, str]:
    found: dict[str, str] = {}
    if settings.device == "cpu":  # else it would bind its threads to the first cores, as would its neighbours
        found |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "GLOO_SOCKET_IFNAME": "lo"}
    if settings.sleep_after_s is not None:  # /sleep and /wake_up are there in this mode only
        found |= {"VLLM_SERVER_DEV_MODE": "1", "PYTORCH_ALLOC_CONF": _EXACT_PINNING}
    if settings.group is not None:
        stops = pairwise((0, *settings.group.stops))
        found["VLLM_PP_LAYER_PARTITION"] = ",".join(str(stop - start) for start, stop in stops)
    if settings.stall_timeout_s is not None:
        found["VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"] = str(ceil(settings.stall_timeout_s))
    return found
