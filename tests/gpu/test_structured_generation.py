"""A grammar's masks on a GPU. The pinned packages hold no flash attention, with which it would be refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.engines.transformers import TransformersEngine
from models.types import SamplingParams
from tests.unit.models.engines.test_structured_generation import DIGITS, generate, request, settings
from tests.unit.models.engines.tiny_llama import write_tiny_llama
from tests.unit.models.engines.tokenizers_for_tests import byte_level, id_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


async def test_a_text_follows_its_grammar(tmp_path: Path) -> None:
    tiny = write_tiny_llama(tmp_path)
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": id_of(byte_level())}))
    engine = TransformersEngine(tmp_path, tiny.manifest, replace(settings(), device="cuda:0"))
    try:
        result = await generate(engine, request("a", SamplingParams(seed=1, max_tokens=60), DIGITS))
    finally:
        engine.close()
    assert re.fullmatch(DIGITS.text, result.text)
