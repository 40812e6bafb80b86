"""The families whose layers the planner does not divide are those that a stage refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from models.errors import ConfigError
from models.memory.account import SCALED_FAMILIES, TENSOR_FAMILIES
from models.parallel.layout import Degree, GroupLayout
from models.parallel.stage import stored_tensors
from models.types import Task, WeightFormat
from tests.unit.models.engines.models_for_tests import manifest_of

SIZES = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "vocab_size": 96,
    "pad_token_id": None,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 8,
    "embedding_multiplier": 3.0,
}


@pytest.mark.parametrize("family", sorted(TENSOR_FAMILIES | SCALED_FAMILIES))
def test_a_family_is_planned_in_stages_where_its_stages_compute_the_same(family: str, tmp_path: Path) -> None:
    for_model: Any = AutoConfig.for_model
    config = for_model(family, num_hidden_layers=4)
    for name, value in SIZES.items():
        if hasattr(config, name):
            setattr(config, name, value)
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    manifest = manifest_of(tmp_path, WeightFormat.SAFETENSORS, Task.GENERATE)
    later = GroupLayout(Degree(1, 2), (2, 4)).shard(0)

    if family in SCALED_FAMILIES:
        with pytest.raises(ConfigError, match="changes hidden states"):
            stored_tensors(tmp_path, manifest, later)
    else:
        assert any(".layers.2." in name for name in stored_tensors(tmp_path, manifest, later))
