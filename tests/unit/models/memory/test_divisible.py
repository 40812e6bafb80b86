from __future__ import annotations

import pytest
from transformers import CONFIG_MAPPING

from models.errors import ConfigError
from models.manifest import ArchitectureFacts, Manifest, QuantizationFacts
from models.memory.account import ENCODERS, TENSOR_FAMILIES
from models.memory.divisible import check_degree, stage_units, why_not
from models.memory.kv_cache import layer_types, why_not_paged
from models.parallel.layout import Degree
from models.spec import EngineName
from tests.unit.manifests import ADDER, MINILM, SMOLLM2
from tests.unit.models.known_models import known

MIXTURE, GPT2, HYBRID, LLAMA_8B = (
    known(name).manifest() for name in ("qwen3-30b-a3b", "gpt2", "gemma-3-1b", "llama-3.1-8b")
)
PLAIN = {
    **dict.fromkeys((f"layers.*.self_attn.{name}_proj" for name in "qkv"), "colwise"),
    "layers.*.self_attn.o_proj": "rowwise",
    "layers.*.mlp.gate_proj": "colwise",
    "layers.*.mlp.up_proj": "colwise",
    "layers.*.mlp.down_proj": "rowwise",
}


@pytest.mark.parametrize("family", sorted(TENSOR_FAMILIES))
def test_transformers_divides_the_families_of_the_table_so(family: str) -> None:
    plan = CONFIG_MAPPING[family].base_model_tp_plan
    assert plan is not None
    kept_whole = {name for name, style in plan.items() if style == "replicated_with_grad_allreduce"}
    assert {name.rpartition(".")[2] for name in kept_whole} <= {"q_norm", "k_norm"}
    # Arcee's MLP has no gate.
    assert {name: style for name, style in plan.items() if name not in kept_whole}.items() <= PLAIN.items()
    assert len(plan) - len(kept_whole) >= len(PLAIN) - 1


def test_the_families_can_be_served() -> None:
    facts = [SMOLLM2.architecture, MINILM.architecture]
    assert all(each is not None for each in facts)
    for family in TENSOR_FAMILIES:
        assert facts[0] is not None
        assert why_not_paged(facts[0].model_copy(update={"model_type": family})) is None
    assert set(CONFIG_MAPPING) >= ENCODERS


@pytest.mark.parametrize(
    ("manifest", "engine", "degree", "reason"),
    [
        (SMOLLM2, "transformers", Degree(3, 2), None),
        (SMOLLM2, "transformers", Degree(1, 30), None),
        (SMOLLM2, "transformers", Degree(2, 1), "2 does not divide 9 heads and 3 KV heads"),
        (
            SMOLLM2,
            "transformers",
            Degree(9, 1),
            "does not divide 3 KV heads, a vocabulary of 49,152 and an MLP of 1,536",
        ),
        (LLAMA_8B, "transformers", Degree(16, 1), "16 does not divide 8 KV heads"),
        (SMOLLM2, "transformers", Degree(1, 31), "30 layers do not make 31 stages"),
        (MINILM, "embedding", Degree(1, 6), None),
        (MINILM, "embedding", Degree(2, 1), "divides by layers only"),
        (ADDER, "onnx", Degree(1, 2), "a graph is one piece"),
        (GPT2, "transformers", Degree(1, 2), "not known to be one stack of layers"),
        (known("gemma-2-2b").manifest(), "transformers", Degree(1, 2), "it has gemma2's own attention"),
        (HYBRID, "transformers", Degree(1, 2), None),
        (HYBRID, "transformers", Degree(1, 3), "26 layers make at most 2 stages with the same mix of sliding"),
        (known("phi-4").manifest(), "embedding", Degree(1, 2), "of encoders only bert, roberta, xlm-roberta"),
    ],
)
def test_why_a_model_cannot_be_divided_so(
    manifest: Manifest, engine: EngineName, degree: Degree, reason: str | None
) -> None:
    found = why_not(manifest, engine, degree)
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)


def test_a_mixture_and_other_families_are_divided_by_layers_alone(stacked: Manifest) -> None:
    assert why_not(stacked, "transformers", Degree(1, 2)) is None
    assert "packed experts" in str(why_not(stacked, "transformers", Degree(2, 1)))


@pytest.fixture
def stacked() -> Manifest:
    """A mixture of experts whose import has told its layers apart."""
    account = {"embedding_bytes": 1, "layers": [{"num_layers": 48, "bytes": 9}]}
    return Manifest.model_validate({**MIXTURE.model_dump(), "weight_account": account})


def test_a_family_without_a_plan_is_divided_by_layers_alone(stacked: Manifest) -> None:
    assert stacked.architecture is not None
    facts = stacked.architecture.model_copy(update={"experts": None, "model_type": "olmo2"})
    other = stacked.model_copy(update={"architecture": facts})
    assert why_not(other, "transformers", Degree(1, 2)) is None
    assert "olmo2 are not cut into slices" in str(why_not(other, "transformers", Degree(2, 1)))


def test_quantised_weights_stay_whole() -> None:
    assert SMOLLM2.architecture is not None
    facts = SMOLLM2.architecture.model_copy(update={"quantization": QuantizationFacts(method="gptq")})
    quantised = SMOLLM2.model_copy(update={"architecture": facts})
    assert why_not(quantised, "transformers", Degree()) is None
    assert "quantised" in str(why_not(quantised, "transformers", Degree(1, 2)))


def test_an_impossible_degree_is_refused_with_those_that_are_possible() -> None:
    check_degree(SMOLLM2, "transformers", Degree(3, 2))
    with pytest.raises(ConfigError, match=r"is tensor 2 x pipeline 1.*tensor 1, 3 and pipeline 1 to 30"):
        check_degree(SMOLLM2, "transformers", Degree(2, 1))
    with pytest.raises(ConfigError, match="leave parallel out"):
        check_degree(ADDER, "onnx", Degree(2, 1))


@pytest.mark.parametrize("name", ["gemma-3-1b", "gemma-3-4b", "gpt-oss-20b", "llama-3.1-8b", "mistral-7b-v0.1"])
def test_each_stage_has_the_kinds_of_layers_in_the_models_proportion(name: str) -> None:
    facts: ArchitectureFacts = known(name).facts
    kinds, units = layer_types(facts), stage_units(facts)
    assert units[-1] == facts.num_hidden_layers
    for stop in range(1, len(kinds)):
        alike = all(kinds[:stop].count(kind) * len(kinds) == kinds.count(kind) * stop for kind in set(kinds))
        assert alike == (stop in units)
