"""One runtime for all models of a pool, and refusals with numbers."""

from __future__ import annotations

import pytest

from models.errors import ConfigError, DoesNotFitError
from models.memory.plan import MemoryPlan, plan_memory
from models.memory.pool_plan import check_poolable, own_bytes, plan_pool
from models.spec import Limits
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

GIB = 1024**3
SMALL = Limits(max_model_len=64, max_num_seqs=1, max_batch_size=1)
SMOL = plan_memory(SMOLLM2, SMALL, "transformers")
MINI = plan_memory(MINILM, SMALL, "embedding")
ADD = plan_memory(ADDER, SMALL, "onnx")


def runtime(plan: MemoryPlan) -> int:
    return plan.term("runtime").bytes


def test_the_process_counts_once() -> None:
    pool = plan_pool([SMOL, MINI, ADD], frozenset(), 4 * GIB)
    assert pool.runtime_bytes == max(runtime(SMOL), runtime(MINI)) + runtime(ADD)
    assert pool.room_bytes == 4 * GIB - pool.runtime_bytes
    assert pool.sizes == {plan.id: plan.total_bytes - runtime(plan) for plan in (SMOL, MINI, ADD)}


def test_onnx_alone_needs_no_torch() -> None:
    assert plan_pool([ADD], frozenset(), GIB).runtime_bytes == runtime(ADD)


def test_the_largest_model_must_fit_by_itself_to_the_byte() -> None:
    needed = runtime(SMOL) + own_bytes(SMOL)
    plan_pool([SMOL, MINI], frozenset(), needed)
    with pytest.raises(DoesNotFitError) as refused:
        plan_pool([SMOL, MINI], frozenset(), needed - 1)
    assert str(refused.value).startswith("smollm2-135m@1 of ")
    assert "set memory to" in str(refused.value)
    assert "or lower the limits of smollm2-135m@1" in str(refused.value)


def test_the_others_must_fit_beside_the_pinned() -> None:
    needed = runtime(SMOL) + own_bytes(SMOL) + own_bytes(MINI)
    pool = plan_pool([SMOL, MINI], frozenset({MINI.id}), needed)
    assert pool.pinned == {MINI.id}
    with pytest.raises(DoesNotFitError, match=r"smollm2-135m@1 of .* beside 1 pinned models of .* need"):
        plan_pool([SMOL, MINI], frozenset({MINI.id}), needed - 1)


def test_the_pinned_must_fit_together() -> None:
    both = frozenset({SMOL.id, MINI.id})
    with pytest.raises(DoesNotFitError, match=r"2 pinned models need .* or pin fewer models"):
        plan_pool([SMOL, MINI], both, runtime(SMOL) + own_bytes(SMOL))


def test_a_budget_below_the_runtime_leaves_nothing() -> None:
    with pytest.raises(DoesNotFitError, match=r"leaves 0 B beside the runtime"):
        plan_pool([MINI], frozenset(), 1)


def test_weights_that_would_change_the_process_are_refused() -> None:
    for manifest, plan in ((SMOLLM2, SMOL), (MINILM, MINI), (ADDER.model_copy(update={"dtype": "int8"}), ADD)):
        check_poolable(manifest, plan)
    with pytest.raises(ConfigError, match="minilm@1 has weights of dtype bfloat16"):
        check_poolable(MINILM.model_copy(update={"dtype": "bfloat16"}), MINI)
