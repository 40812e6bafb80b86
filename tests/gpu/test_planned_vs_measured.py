"""Plans for Llama-shaped models of random parameters beside what they take on the card at hand."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from deployments.args import ModelArgs
from deployments.options import engine_settings
from models.devices import device_of_driver
from models.engines.base import GenerationEngine
from models.engines.meters import make_meter
from models.engines.registry import create_engine
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.memory.measured import deviation
from models.memory.plan import plan_memory
from models.progress import NoProgress
from models.spec import Limits
from models.types import GenerationRequest, SamplingParams
from tests.unit.models.engines.tiny_llama import tiny_tokenizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")

MAX_LEN = 2048
LIMITS = Limits(max_model_len=MAX_LEN, max_num_seqs=8)
# Hidden size, MLP, layers, heads: the shapes of Llama 3.2 1B and 3B, and of Llama 3.1 8B.
SHAPES = {"1B": (2048, 8192, 16, 32), "3B": (3072, 8192, 28, 24), "8B": (4096, 14336, 32, 32)}


def write_llama(folder: Path, name: str) -> None:
    hidden, mlp, layers, heads = SHAPES[name]
    config = LlamaConfig(
        vocab_size=128_256, hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=8, max_position_embeddings=MAX_LEN,
        tie_word_embeddings=name != "8B", bos_token_id=None, eos_token_id=0, dtype="bfloat16",
    )  # fmt: skip
    with torch.device("cuda"):
        model = torch.nn.Module.to(LlamaForCausalLM(config), torch.bfloat16)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


async def fill(engine: GenerationEngine) -> None:
    """Every sequence at full length, with nothing in common."""
    draw = random.Random(0)  # noqa: S311 - the same prompts in each run
    new_tokens = 16

    async def one(number: int) -> None:
        prompt = tuple(draw.choices(range(1, 128_000), k=MAX_LEN - new_tokens))
        sampling = SamplingParams(max_tokens=new_tokens, temperature=0)
        async for _ in engine.generate(GenerationRequest(str(number), prompt, sampling)):
            pass

    await asyncio.gather(*(one(number) for number in range(LIMITS.max_num_seqs)))


@pytest.mark.parametrize("name", SHAPES)
def test_the_plan_is_within_5_percent_and_not_2_percent_too_low(tmp_path: Path, name: str) -> None:
    """Where the driver does not tell of processes, the context counts as planned on both sides."""
    device = device_of_driver(torch.cuda.get_device_name(0))
    assert device is not None
    write_llama(tmp_path / "weights", name)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    args = ModelArgs(model=name, source=f"file:{tmp_path}/weights", store=str(tmp_path / "store"), limits=LIMITS)
    stored = import_model(args, LocalStore(tmp_path / "store"), NoProgress())
    plan = plan_memory(stored.manifest, LIMITS, "transformers", device=device)
    engine = create_engine("transformers", stored.folder, stored.manifest, engine_settings(args, plan))
    assert isinstance(engine, GenerationEngine)
    try:
        meter = make_meter(stored.folder, plan.engine, plan.planned, "cuda:0")
        asyncio.run(fill(engine))
        high_bytes = meter.read().high_bytes
    finally:
        engine.close()
    assert -0.05 <= deviation(plan.total_bytes, high_bytes) <= 0.02
