"""The planner: exact bytes for the demonstration models, and what must hold for any limits."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.errors import ConfigError, DoesNotFitError
from models.hardware import Device
from models.manifest import Manifest, TokenizerFacts
from models.memory.overheads import MIB
from models.memory.plan import ANY_CPU, MemoryPlan, check_fits, format_bytes, plan_memory
from models.spec import EngineName, Limits
from models.types import WeightFormat
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

Served = tuple[Manifest, EngineName]

GPU = Device("h100-80gb", "cuda", 80 * 1024**3, 78 * 1024**3, "H100")
MARGIN = 0.6

GRAPH = MINILM.model_copy(update={"format": WeightFormat.ONNX, "architecture": None})
PLANNED: list[Served] = [
    (SMOLLM2, "transformers"),
    (SMOLLM2, "vllm"),
    (MINILM, "embedding"),
    (GRAPH, "onnx"),
    (ADDER, "onnx"),
]

LIMITS = st.builds(
    Limits,
    max_model_len=st.integers(1, 256),
    max_num_seqs=st.integers(1, 64),
    max_batch_tokens=st.integers(16, 2048),
    max_batch_size=st.integers(1, 64),
    page_size=st.integers(4, 256),
)


def bytes_by_term(plan: MemoryPlan) -> dict[str, int]:
    return {term.name: term.bytes for term in plan.terms}


def total(served: Served, limits: Limits, **changes: int) -> int:
    manifest, engine = served
    return plan_memory(manifest, limits.model_copy(update=changes), engine).total_bytes


def test_vllm_has_the_same_pages_and_its_own_copy_of_the_weights() -> None:
    limits = Limits(max_model_len=2048)
    plan, other = (plan_memory(SMOLLM2, limits, engine) for engine in ("vllm", "transformers"))
    assert plan.term("kv_cache") == other.term("kv_cache")
    assert plan.max_concurrency == other.max_concurrency == limits.max_num_seqs
    assert (plan.shared_bytes, other.shared_bytes) == (0, 538_060_032)
    assert "attention" not in bytes_by_term(plan)


def test_smollm2_is_planned_to_the_byte() -> None:
    plan = plan_memory(SMOLLM2, Limits(max_model_len=2048), "transformers")
    assert bytes_by_term(plan) == {
        "weights": 538_060_032,
        # (8 sequences x 64 pages + 2) x 32 tokens x (2 x 30 layers x 3 heads x 64 x 4 B)
        "kv_cache": 514 * 32 * 46_080,
        # 16,384 tokens read back, each 21 heads x 64 x 4 B; mask and index for these and 512 of the step
        "attention": 16_384 * 21 * 64 * 4 + 16_896 * (512 * 4 + 8),
        # 512 tokens x (4 x 576 + 15 heads x 64 + 3 x 1536 + 2 x 576) x 4 B
        "activations": 512 * 9024 * 4,
        # 8 rows x 49,152 scores x (4 + 2 x 4 + 4 x 8) B
        "logits": 8 * 49_152 * 44,
        "margin": int(MARGIN * (122_818_560 + 18_481_152 + 17_301_504)),
        "runtime": 406 * MIB,
    }
    assert (plan.num_kv_pages, plan.max_model_len, plan.kv_cache_bytes) == (512, 2048, 514 * 32 * 46_080)
    assert (plan.budget_bytes, plan.unused_bytes, plan.host_terms) == (plan.total_bytes, 0, ())


def test_minilm_is_planned_to_the_byte() -> None:
    plan = plan_memory(MINILM, Limits(), "embedding")
    assert bytes_by_term(plan) == {
        "weights": 90_852_864,
        # 32 inputs x 256 tokens x (3 x 384 + 2 x 1536) x 4 B
        "activations": 8192 * 4224 * 4,
        "margin": int(0.05 * 8192 * 4224 * 4),
        "runtime": 432 * MIB,
    }
    assert (plan.max_model_len, plan.num_kv_pages) == (256, 0)


def test_an_embedding_graph_is_planned_to_the_byte() -> None:
    plan = plan_memory(GRAPH, Limits(max_batch_size=8), "onnx")
    assert bytes_by_term(plan) == {
        "weights": 90_852_864,
        # 8 inputs x 256 tokens x (14 x 384 + 6 x 12 heads x 256) x 4 B
        "activations": 2048 * 23_808 * 4,
        "session": 22_713_216 * 4,
        "margin": int(0.05 * 2048 * 23_808 * 4),
        "runtime": 124 * MIB,
    }


@pytest.mark.parametrize(
    ("facts", "num_bytes"),
    [
        (TokenizerFacts(algorithm="BPE", vocab_size=50_000), 50_000_000),
        (TokenizerFacts(algorithm="WordPiece", vocab_size=30_000), 9_000_000),
        (TokenizerFacts(vocab_size=1000), 1_000_000),
        (TokenizerFacts(), 49_152_000),
    ],
)
def test_a_tokenizer_counts_by_its_vocabulary_and_lies_in_the_process(
    facts: TokenizerFacts, num_bytes: int
) -> None:
    manifest = SMOLLM2.model_copy(update={"tokenizer": facts})
    assert plan_memory(manifest, Limits(max_model_len=2048), "transformers").term("tokenizer").bytes == num_bytes
    on_gpu = plan_memory(manifest, Limits(max_model_len=2048), "transformers", device=GPU)
    assert [term.name for term in on_gpu.host_terms] == ["tokenizer", "runtime"]
    assert "tokenizer" not in bytes_by_term(on_gpu)


def test_any_other_graph_is_given_room_for_its_weights_and_their_copy() -> None:
    plan = plan_memory(ADDER, Limits(), "onnx")
    expected = {"weights": 800, "session": 800, "activations": 800, "margin": 40, "runtime": 124 * MIB}
    assert bytes_by_term(plan) == expected


def test_weights_in_a_dtype_that_does_not_compute_are_refused() -> None:
    with pytest.raises(ConfigError, match="dtype int8"):
        plan_memory(SMOLLM2.model_copy(update={"dtype": "int8"}), Limits(), "transformers")


def test_an_encoder_without_config_json_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        plan_memory(MINILM.model_copy(update={"architecture": None}), Limits(), "embedding")


@pytest.mark.parametrize(("dtype", "item_bytes"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_the_cache_is_kept_in_the_dtype_of_the_weights(dtype: str, item_bytes: int) -> None:
    plan = plan_memory(SMOLLM2.model_copy(update={"dtype": dtype}), Limits(max_model_len=32), "transformers")
    # (8 sequences x 1 page + 2) x 32 tokens x (2 x 30 layers x 3 heads x 64)
    assert plan.term("kv_cache").bytes == 10 * 32 * 11_520 * item_bytes


@pytest.mark.parametrize("served", PLANNED)
@given(limits=LIMITS)
def test_the_sum_is_that_of_the_documented_terms(served: Served, limits: Limits) -> None:
    plan = plan_memory(served[0], limits, served[1])
    assert plan.total_bytes == sum(plan.term(name).bytes for name in bytes_by_term(plan))
    assert all(term.bytes >= 0 and term.formula for term in plan.terms)


@pytest.mark.parametrize("served", PLANNED)
@pytest.mark.parametrize("field", ["max_num_seqs", "max_model_len", "max_batch_tokens", "max_batch_size"])
@given(limits=LIMITS, more=st.integers(1, 100))
def test_more_never_costs_less(served: Served, field: str, limits: Limits, more: int) -> None:
    larger = getattr(limits, field) + more
    assume(field != "max_model_len" or larger <= 256)
    assert total(served, limits, **{field: larger}) >= total(served, limits)


@given(limits=LIMITS)
def test_another_sequence_costs_its_whole_length_in_cache(limits: Limits) -> None:
    one_more = limits.model_copy(update={"max_num_seqs": limits.max_num_seqs + 1})
    before, after = (plan_memory(SMOLLM2, each, "transformers") for each in (limits, one_more))
    grown = after.term("kv_cache").bytes - before.term("kv_cache").bytes
    assert limits.max_model_len is not None
    assert grown >= limits.max_model_len * 46_080


@given(limits=LIMITS)
def test_every_sequence_has_its_pages(limits: Limits) -> None:
    plan = plan_memory(SMOLLM2, limits, "transformers")
    spare = plan.num_kv_pages * plan.page_size - plan.max_num_seqs * plan.max_model_len
    assert 0 <= spare < plan.max_num_seqs * plan.page_size


def test_a_plan_that_just_fits_is_accepted() -> None:
    plan = plan_memory(MINILM, Limits(), "embedding")
    check_fits(plan, MINILM, Limits(), plan.total_bytes, "the node")
    with pytest.raises(DoesNotFitError):
        check_fits(plan, MINILM, Limits(), plan.total_bytes - 1, "the node")


def test_a_longer_context_than_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"is 9000, but it was trained for 8192 tokens \(set .* to 8192 or less"):
        plan_memory(SMOLLM2, Limits(max_model_len=9000), "transformers")


def test_the_context_defaults_to_what_the_model_was_trained_for() -> None:
    assert plan_memory(SMOLLM2, Limits(), "transformers").max_model_len == 8192
    assert plan_memory(MINILM, Limits(), "embedding").max_model_len == 256
    assert plan_memory(MINILM, Limits(max_model_len=64), "embedding").max_model_len == 64


def test_a_context_that_nobody_says_is_asked_for() -> None:
    assert SMOLLM2.architecture is not None
    endless = SMOLLM2.architecture.model_copy(update={"max_position_embeddings": None})
    manifest = SMOLLM2.model_copy(update={"architecture": endless})
    with pytest.raises(ConfigError, match=r"has no maximum \(set limits\.max_model_len\)"):
        plan_memory(manifest, Limits(), "transformers")
    assert plan_memory(manifest, Limits(max_model_len=64), "transformers").max_model_len == 64


def test_on_a_gpu_the_context_lies_on_the_device_and_the_process_beside_it() -> None:
    on_cpu, on_gpu = (plan_memory(SMOLLM2, Limits(), "transformers", device=device) for device in (ANY_CPU, GPU))
    assert {"context", "runtime"} & set(bytes_by_term(on_gpu)) == {"context"}
    assert [term.name for term in on_gpu.host_terms] == ["runtime"]
    assert on_gpu.host_bytes == on_gpu.host_terms[0].bytes > 0
    assert on_gpu.term("kv_cache") == on_cpu.term("kv_cache")
    assert on_gpu.device is GPU


def test_replicas_share_what_lies_where_the_file_is_mapped() -> None:
    copied = SMOLLM2.model_copy(update={"shared_weight_bytes": SMOLLM2.weight_bytes - 1000})
    assert plan_memory(SMOLLM2, Limits(), "transformers").shared_bytes == SMOLLM2.weight_bytes
    assert plan_memory(copied, Limits(), "transformers").shared_bytes == SMOLLM2.weight_bytes - 1000
    assert plan_memory(copied, Limits(), "transformers").term("copied_weights").bytes == 1000
    assert plan_memory(SMOLLM2, Limits(), "transformers", device=GPU).shared_bytes == 0
    assert plan_memory(GRAPH, Limits(), "onnx").shared_bytes == 0


def test_an_engine_without_a_measured_overhead_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match="the onnx engine needs on a cuda device was never measured"):
        plan_memory(GRAPH, Limits(), "onnx", device=GPU)


def test_a_generating_model_without_config_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match=r"smollm2-135m@1 has no config\.json"):
        plan_memory(SMOLLM2.model_copy(update={"architecture": None}), Limits(), "transformers")


def test_an_unknown_term_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="gravity"):
        plan_memory(ADDER, Limits(), "onnx").term("gravity")


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (MIB, "1.0 MiB"),
        (1024 * MIB, "1.0 GiB"),
        (5000 * 1024 * MIB, "5000.0 GiB"),
    ],
)
def test_bytes_are_written_in_binary_units(num_bytes: int, text: str) -> None:
    assert format_bytes(num_bytes) == text
