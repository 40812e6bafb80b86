from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import SourceError
from models.importing.architecture import architecture_facts
from models.importing.configuration import Configuration, read_configuration
from models.manifest import ArchitectureFacts, QuantizationFacts
from tests.unit.models.tiny_models import BERT_CONFIG, LLAMA_CONFIG, write_json


def read(folder: Path, config: object) -> Configuration:
    write_json(folder / "config.json", config)
    configuration = read_configuration(folder)
    assert configuration is not None
    return configuration


def test_all_sizes_are_read(tmp_path: Path) -> None:
    assert architecture_facts(read(tmp_path, LLAMA_CONFIG | {"head_dim": 3})) == ArchitectureFacts(
        model_type="llama",
        architectures=("LlamaForCausalLM",),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=3,
        intermediate_size=16,
        vocab_size=6,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    facts = architecture_facts(read(tmp_path, BERT_CONFIG))
    assert (facts.num_key_value_heads, facts.head_dim, facts.tie_word_embeddings) == (2, 4, False)


def test_older_names_are_understood(tmp_path: Path) -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 8, "n_layer": 3, "n_head": 2, "n_positions": 64, "vocab_size": 9}
    facts = architecture_facts(read(tmp_path, gpt2))
    assert (facts.hidden_size, facts.num_hidden_layers, facts.max_position_embeddings) == (8, 3, 64)


def test_the_text_model_of_a_multimodal_one_counts(tmp_path: Path) -> None:
    nested = {
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "hidden_size": 99,
        "tie_word_embeddings": True,
        "text_config": {**LLAMA_CONFIG, "tie_word_embeddings": None},
    }
    facts = architecture_facts(read(tmp_path, nested))
    assert (facts.hidden_size, facts.model_type, facts.tie_word_embeddings) == (8, "llama", True)
    assert facts.architectures == ("Gemma3ForConditionalGeneration",)


@pytest.mark.parametrize(("use", "window"), [(None, 16), (True, 16), (False, None)])
def test_a_sliding_window_that_is_switched_off_is_none(
    tmp_path: Path, use: bool | None, window: int | None
) -> None:
    config = {**LLAMA_CONFIG, "sliding_window": 16, "use_sliding_window": use}
    assert architecture_facts(read(tmp_path, config)).sliding_window == window


def test_missing_sizes_are_named(tmp_path: Path) -> None:
    config = read(tmp_path, {"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1})
    assert not config.is_transformer
    with pytest.raises(SourceError, match="'vit' model lacks num_attention_heads"):
        architecture_facts(config)


def test_a_model_that_reads_no_text_needs_no_vocabulary(tmp_path: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = read(tmp_path, {"model_type": "vit", **sizes, "image_size": [32, 48], "patch_size": 16})
    facts = architecture_facts(config)
    assert not config.is_transformer
    assert facts.vocab_size == 0
    assert facts.image is not None
    assert facts.image.num_tokens == 3 * 3 + 1


def test_multi_query_attention_has_one_key_value_head(tmp_path: Path) -> None:
    falcon = {"model_type": "falcon", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4}
    old, new = ({**falcon, "num_kv_heads": 2, "new_decoder_architecture": new} for new in (False, True))
    assert architecture_facts(read(tmp_path, old)).num_key_value_heads == 1
    assert architecture_facts(read(tmp_path, new)).num_key_value_heads == 2


def test_a_gated_delta_rule_keeps_its_last_inputs_and_a_matrix_for_each_head(tmp_path: Path) -> None:
    heads = {"linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_num_value_heads": 4}
    config = {**LLAMA_CONFIG, **heads, "linear_value_head_dim": 8, "model_type": "qwen3_next"}
    facts = architecture_facts(read(tmp_path, {**config, "num_hidden_layers": 4}))
    assert facts.layer_types == ("linear_attention",) * 3 + ("full_attention",)
    assert facts.recurrent_state_size == (2 * 16 + 32) * 4 + 4 * 8 * 8


@pytest.mark.parametrize(
    ("quantization", "bits"),
    [
        ({"quant_method": "gptq", "bits": 4}, 4),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4),
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "mxfp4"}, None),
    ],
)
def test_quantisation_is_recorded(tmp_path: Path, quantization: dict[str, object], bits: int | None) -> None:
    facts = architecture_facts(read(tmp_path, {**LLAMA_CONFIG, "quantization_config": quantization}))
    assert facts.quantization == QuantizationFacts(method=str(quantization["quant_method"]), bits=bits)


def test_a_broken_file_is_explained(tmp_path: Path) -> None:
    assert read_configuration(tmp_path) is None
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(SourceError, match=r"config\.json of the model cannot be read"):
        read_configuration(tmp_path)
