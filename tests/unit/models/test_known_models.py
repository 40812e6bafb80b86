"""Facts and weights of published models, from their kept configurations."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers.generation.continuous_batching.cache import group_layers_by_attn_type
from transformers.generation.continuous_batching.utils import find_head_dim, find_num_key_value_heads

from models.memory.kv_cache import layer_types, why_not_paged
from models.memory.plan import plan_memory
from models.safetensors_file import read_header
from models.spec import EngineName, Limits
from models.types import Task
from tests.unit.models.known_models import CONFIGS, KNOWN_MODELS, KnownModel, known
from tests.unit.models.meta_weights import transformers_config, write_meta_weights

ALL = pytest.mark.parametrize("model", KNOWN_MODELS, ids=lambda model: model.name)
TRANSFORMERS = [model for model in KNOWN_MODELS if model.facts.num_attention_heads]
DECODERS = [model for model in KNOWN_MODELS if model.architecture_name.endswith(("ForCausalLM", "LMHeadModel"))]
PAGED = [model for model in DECODERS if why_not_paged(model.facts) is None]
# What their pages would be is known; only the attention that fills them does not go through them.
OF_OWN_ATTENTION = ("gemma-2-2b", "gemma-2-9b", "gpt-oss-20b")
SHAPED = [*PAGED, *map(known, OF_OWN_ATTENTION)]


def test_every_kept_configuration_is_checked() -> None:
    assert {path.stem for path in CONFIGS.glob("*.json")} == {model.name for model in KNOWN_MODELS}
    assert len(KNOWN_MODELS) >= 24


@ALL
def test_weights_have_the_published_size(model: KnownModel, tmp_path: Path) -> None:
    write_meta_weights(model, tmp_path / "model.safetensors")
    tensors = read_header(tmp_path / "model.safetensors")
    num_parameters = sum(tensor.num_elements for tensor in tensors)
    weight_bytes = sum(tensor.num_bytes for tensor in tensors)
    assert num_parameters == pytest.approx(model.num_parameters, rel=0.01)
    assert weight_bytes == pytest.approx(model.manifest().weight_bytes, rel=0.01)


@pytest.mark.parametrize("model", TRANSFORMERS, ids=lambda model: model.name)
def test_sizes_are_those_that_transformers_reads(model: KnownModel) -> None:
    facts, config = model.facts, transformers_config(model).get_text_config(decoder=True)
    assert facts.hidden_size == config.hidden_size
    assert facts.num_attention_heads == config.num_attention_heads
    assert facts.vocab_size == getattr(config, "vocab_size", 0)
    if facts.encoder is None:
        assert facts.num_hidden_layers == config.num_hidden_layers
        assert facts.max_position_embeddings == getattr(config, "max_position_embeddings", None)
    if facts.vocab_size:
        assert facts.tie_word_embeddings == config.tie_word_embeddings or model.manifest().task is Task.EMBED


@pytest.mark.parametrize("model", SHAPED, ids=lambda model: model.name)
def test_the_cache_is_shaped_as_transformers_shapes_it(model: KnownModel) -> None:
    facts, config = model.facts, transformers_config(model).get_text_config(decoder=True)
    groups = group_layers_by_attn_type(config)
    kinds = layer_types(facts)
    assert {kind: [i for i, each in enumerate(kinds) if each == kind] for kind in dict.fromkeys(kinds)} == groups
    assert facts.num_key_value_heads == find_num_key_value_heads(config)
    assert facts.head_dim == find_head_dim(config)
    if "sliding_attention" in groups:
        assert facts.sliding_window == config.sliding_window


@ALL
def test_a_plan_exists_or_says_what_cannot_be_paged(model: KnownModel) -> None:
    manifest = model.manifest()
    engine: EngineName = "transformers" if model in PAGED else "embedding"
    limits = Limits(max_model_len=256, max_num_seqs=2, max_batch_size=2)
    plan = plan_memory(manifest, limits, engine)
    assert plan.term("weights").bytes == manifest.weight_bytes
    assert plan.term("activations").bytes > 0


def test_mixtures_of_experts_know_what_a_token_goes_through() -> None:
    widths = {
        "mixtral-8x7b-v0.1": 2 * 14336,
        "qwen3-30b-a3b": 8 * 768,
        "deepseek-v2-lite": (6 + 2) * 1408,
        "deepseek-v3": (8 + 1) * 2048,
        "gpt-oss-20b": 4 * 2880,
    }
    found = {m.name: m.facts.experts.active_intermediate_size for m in KNOWN_MODELS if m.facts.experts}
    assert found == widths


def test_what_is_not_a_text_decoder_is_described() -> None:
    whisper, t5 = known("whisper-large-v3").facts.encoder, known("t5-base").facts.encoder
    assert whisper is not None
    assert t5 is not None
    assert (whisper.num_layers, whisper.max_tokens) == (32, 1500)
    assert (t5.num_layers, t5.max_tokens) == (12, None)
    vit, resnet = known("vit-base-patch16-224").facts.image, known("resnet-50").facts.image
    assert vit is not None
    assert resnet is not None
    assert vit.num_tokens == 197  # 14 x 14 patches and the class token
    assert (resnet.channels, resnet.reductions) == ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32))


def test_quantisation_is_recorded() -> None:
    quantization = {m.name: m.facts.quantization for m in KNOWN_MODELS if m.facts.quantization}
    assert {name: (each.method, each.bits) for name, each in quantization.items() if each} == {
        "deepseek-v3": ("fp8", 8),
        "gpt-oss-20b": ("mxfp4", None),
    }
