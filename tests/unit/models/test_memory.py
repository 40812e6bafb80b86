"""The planner: exact bytes for the demonstration models, and what must hold for any limits."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.errors import ConfigError, DoesNotFitError
from models.manifest import Manifest
from models.memory import MemoryPlan, check_fits, format_bytes, plan_memory, resolve_max_model_len
from models.memory_terms import MIB, kv_bytes_per_token
from models.spec import EngineName, Limits
from models.types import WeightFormat
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

Served = tuple[Manifest, EngineName]

GRAPH = MINILM.model_copy(update={"format": WeightFormat.ONNX, "architecture": None})
PLANNED: list[Served] = [(SMOLLM2, "transformers"), (MINILM, "embedding"), (GRAPH, "onnx"), (ADDER, "onnx")]
SIZED = PLANNED[:3]  # those whose limits change their size

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


def test_smollm2_is_planned_to_the_byte() -> None:
    plan = plan_memory(SMOLLM2, Limits(max_model_len=2048), "transformers")
    assert bytes_by_term(plan) == {
        "weights": 538_060_032,
        # (8 sequences x 64 pages + 2) x 32 tokens x (2 x 30 layers x 3 heads x 64 x 4 B)
        "kv_cache": 514 * 32 * 46_080,
        # 16,384 cached + 512 new tokens, each 21 heads x 64 x 4 B and an index; and the mask
        "attention": 16_896 * (21 * 64 * 4 + 8) + 512 * 16_896 * 4,
        # 512 tokens x (4 x 576 + 15 heads x 64 + 3 x 1536) x 4 B
        "activations": 16_121_856,
        # 8 rows x 49,152 scores x 5 copies x 4 B
        "logits": 7_864_320,
        "runtime": 576 * MIB,
    }
    assert (plan.total_bytes, plan.num_kv_pages, plan.max_model_len) == (2_049_520_896, 512, 2048)


def test_minilm_is_planned_to_the_byte() -> None:
    plan = plan_memory(MINILM, Limits(), "embedding")
    assert bytes_by_term(plan) == {
        "weights": 90_852_864,
        # 32 inputs x 256 tokens x (4 x 384 + 2 x 1536 + 2 x 12 heads x 256) x 4 B
        "activations": 8192 * 10_752 * 4,
        "runtime": 448 * MIB,
    }
    assert (plan.max_model_len, plan.num_kv_pages) == (256, 0)


def test_an_embedding_graph_is_planned_to_the_byte() -> None:
    plan = plan_memory(GRAPH, Limits(max_batch_size=8), "onnx")
    assert bytes_by_term(plan) == {
        "weights": 90_852_864,
        # 8 inputs x 256 tokens x 52 values x 384 dimensions x 4 B
        "activations": 2048 * 79_872,
        "session": 22_713_216 * 4,
        "runtime": 320 * MIB,
    }


def test_any_other_graph_is_given_room_for_its_weights_and_their_copy() -> None:
    plan = plan_memory(ADDER, Limits(), "onnx")
    assert bytes_by_term(plan) == {"weights": 800, "session": 800, "activations": 800, "runtime": 320 * MIB}


def test_weights_in_a_dtype_that_does_not_compute_are_refused() -> None:
    with pytest.raises(ConfigError, match="dtype int8"):
        plan_memory(SMOLLM2.model_copy(update={"dtype": "int8"}), Limits(), "transformers")


def test_an_encoder_without_config_json_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        plan_memory(MINILM.model_copy(update={"architecture": None}), Limits(), "embedding")


@pytest.mark.parametrize(("dtype", "item_bytes"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_the_cache_is_kept_in_the_dtype_of_the_weights(dtype: str, item_bytes: int) -> None:
    plan = plan_memory(SMOLLM2.model_copy(update={"dtype": dtype}), Limits(max_model_len=32), "transformers")
    assert SMOLLM2.architecture is not None
    assert plan.term("kv_cache").bytes == 10 * 32 * kv_bytes_per_token(SMOLLM2.architecture, item_bytes)


@pytest.mark.parametrize("served", PLANNED)
@given(limits=LIMITS)
def test_the_sum_is_that_of_the_documented_terms(served: Served, limits: Limits) -> None:
    plan = plan_memory(served[0], limits, served[1])
    assert plan.total_bytes == sum(plan.term(name).bytes for name in bytes_by_term(plan))
    assert all(term.bytes > 0 and term.formula for term in plan.terms)


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


@pytest.mark.parametrize("served", SIZED)
@given(limits=LIMITS, share=st.floats(0, 1, exclude_max=True))
def test_what_the_refusal_suggests_fits_and_one_more_does_not(
    served: Served, limits: Limits, share: float
) -> None:
    manifest, engine = served
    smallest = total(served, limits, max_model_len=1, max_num_seqs=1, max_batch_size=1)
    available = smallest + int((total(served, limits) - smallest) * share)
    assume(available < total(served, limits))
    with pytest.raises(DoesNotFitError) as refused:
        check_fits(plan_memory(manifest, limits, engine), manifest, limits, available, "the node")
    suggested = {field: int(value) for field, value in re.findall(r"limits\.(\w+) to (\d+)", str(refused.value))}
    last = list(suggested)[-1]
    assert total(served, limits, **suggested) <= available
    assert total(served, limits, **suggested | {last: suggested[last] + 1}) > available


def test_a_refusal_gives_sum_terms_limit_and_remedy() -> None:
    limits = Limits(max_model_len=2048)
    plan = plan_memory(SMOLLM2, limits, "transformers")
    with pytest.raises(DoesNotFitError) as refused:
        check_fits(plan, SMOLLM2, limits, 1536 * MIB, "the largest node, n1,")
    assert str(refused.value) == (
        "smollm2-135m@1 needs 1.9 GiB (weights 513.1 MiB + kv_cache 722.8 MiB + attention 119.8 MiB "
        "+ activations 15.4 MiB + logits 7.5 MiB + runtime 576.0 MiB), but the largest node, n1, has 1.5 GiB "
        "(set limits.max_num_seqs to 4 or less, or use a larger node)"
    )


def test_a_model_that_fits_under_no_limits_says_so() -> None:
    plan = plan_memory(SMOLLM2, Limits(), "transformers")
    with pytest.raises(DoesNotFitError, match="does not fit with any limits"):
        check_fits(plan, SMOLLM2, Limits(), 512 * MIB, "the node")


def test_a_plan_that_just_fits_is_accepted() -> None:
    plan = plan_memory(MINILM, Limits(), "embedding")
    check_fits(plan, MINILM, Limits(), plan.total_bytes, "the node")
    with pytest.raises(DoesNotFitError):
        check_fits(plan, MINILM, Limits(), plan.total_bytes - 1, "the node")


def test_a_longer_context_than_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"is 9000, but it was trained for 8192 tokens \(set .* to 8192 or less"):
        plan_memory(SMOLLM2, Limits(max_model_len=9000), "transformers")


def test_the_context_defaults_to_what_the_model_was_trained_for() -> None:
    assert resolve_max_model_len(SMOLLM2, Limits()) == 8192
    assert resolve_max_model_len(MINILM, Limits()) == 256
    assert resolve_max_model_len(MINILM, Limits(max_model_len=64)) == 64


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
