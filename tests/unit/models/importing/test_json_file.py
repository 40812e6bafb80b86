from __future__ import annotations

import json
from pathlib import Path

from models.importing.json_file import record_dtype
from tests.unit.models.tiny_models import write_json


def test_the_dtype_is_corrected_wherever_it_stands(tmp_path: Path) -> None:
    nested = {"torch_dtype": "float32", "hidden_size": 8, "layer_types": ["full_attention"]}
    write_json(tmp_path / "c.json", {"dtype": "float16", "text_config": nested, "vision_config": {"depth": 2}})
    record_dtype(tmp_path / "c.json", "bfloat16")
    assert json.loads((tmp_path / "c.json").read_text()) == {
        "dtype": "bfloat16",
        "text_config": {"dtype": "bfloat16", "hidden_size": 8, "layer_types": ["full_attention"]},
        "vision_config": {"depth": 2},
    }
