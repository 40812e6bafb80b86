from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.engines.base import EngineSettings
from models.engines.vllm_server import check, command, environment, start_limit_s
from models.errors import ConfigError
from models.parallel.layout import Degree, GroupLayout
from models.types import Task, WeightFormat
from tests.unit.models.engines.models_for_tests import manifest_of

SETTINGS = EngineSettings(
    max_model_len=1024,
    max_num_seqs=4,
    max_batch_tokens=256,
    page_size=16,
    num_kv_pages=256,
    kv_cache_bytes=12_345_678,
    num_threads=3,
)
GROUP = GroupLayout(Degree(tensor=3, pipeline=2), stops=(4, 10))


def options(tmp_path: Path, settings: EngineSettings = SETTINGS) -> list[str]:
    manifest = manifest_of(tmp_path, WeightFormat.SAFETENSORS, Task.GENERATE)
    return command(Path("/opt/vllm/bin/python"), tmp_path, manifest, settings, Path("/run/it/socket"))


def value(line: list[str], option: str) -> str:
    return line[line.index(option) + 1]


def test_what_was_planned_is_what_vllm_is_told(tmp_path: Path) -> None:
    line = options(tmp_path)
    assert line[:3] == ["/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    told = {
        "--model": str(tmp_path),
        "--uds": "/run/it/socket",
        "--dtype": "float32",
        "--max-model-len": "1024",
        "--max-num-seqs": "4",
        "--max-num-batched-tokens": "256",
        "--block-size": "16",
        "--kv-cache-memory-bytes": "12345678",
        "--load-format": "safetensors",
        "--generation-config": "vllm",
    }
    assert {option: value(line, option) for option in told} == told
    assert "--tensor-parallel-size" not in line


def test_pages_that_vllm_has_no_kernel_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"page_size 24.*multiple of 16"):
        check(manifest_of(tmp_path, WeightFormat.SAFETENSORS, Task.GENERATE), replace(SETTINGS, page_size=24))


def test_a_group_is_divided_as_planned_by_vllms_own_executor(tmp_path: Path) -> None:
    settings = replace(SETTINGS, group=GROUP)
    line = options(tmp_path, settings)
    assert (value(line, "--tensor-parallel-size"), value(line, "--pipeline-parallel-size")) == ("3", "2")
    assert value(line, "--distributed-executor-backend") == "mp"
    assert value(line, "--compilation-config") == '{"mode": 2, "backend": "eager"}'
    assert "--enforce-eager" not in line
    assert environment(settings, {})["VLLM_PP_LAYER_PARTITION"] == "4,6"


def test_a_step_may_take_as_long_as_the_group_may_stall() -> None:
    given = environment(replace(SETTINGS, stall_timeout_s=0.5), {})
    assert given["VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"] == "1"


def test_only_on_a_gpu_it_compiles(tmp_path: Path) -> None:
    assert "--enforce-eager" in options(tmp_path)
    assert "--enforce-eager" not in options(tmp_path, replace(SETTINGS, device="cuda:0"))


def test_it_can_sleep_only_where_it_is_to(tmp_path: Path) -> None:
    on_gpu = replace(SETTINGS, device="cuda:0")
    sleeping = replace(on_gpu, sleep_after_s=60)
    assert "--enable-sleep-mode" not in options(tmp_path, on_gpu)
    assert "--enable-sleep-mode" in options(tmp_path, sleeping)
    found = {"VLLM_SERVER_DEV_MODE": "1", "PYTORCH_ALLOC_CONF": "pinned_max_cached_size_mb:1"}
    assert dict(environment(sleeping, {}).items() - environment(on_gpu, {}).items()) == found


def test_nothing_in_the_environment_changes_the_plan() -> None:
    inherited = {"PATH": "/bin", "VLLM_CPU_KVCACHE_SPACE": "40", "PYTHONPATH": "/ours", "OMP_NUM_THREADS": "64"}
    found = environment(SETTINGS, inherited)
    assert found["PATH"] == "/bin"
    assert found["OMP_NUM_THREADS"] == "3"
    assert not {"VLLM_CPU_KVCACHE_SPACE", "PYTHONPATH"} & found.keys()


def test_a_larger_model_may_take_longer_to_start() -> None:
    assert start_limit_s(0) < 600
    assert start_limit_s(800 * 10**9) > 3600
