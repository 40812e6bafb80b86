"""One runtime for all models of a pool, and refusals with numbers."""

from __future__ import annotations

from collections.abc import Sequence, Set

import pytest

from models.errors import ConfigError, DoesNotFitError
from models.manifest import FileEntry, Manifest, TokenizerFacts
from models.memory.plan import MemoryPlan, plan_memory
from models.memory.pool_plan import PoolPlan, check_poolable, own_bytes, plan_pool
from models.spec import Limits
from models.types import VersionId
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

GIB = 1024**3
SMALL = Limits(max_model_len=64, max_num_seqs=1, max_batch_size=1)
SMOL = plan_memory(SMOLLM2, SMALL, "transformers")
MINI = plan_memory(MINILM, SMALL, "embedding")
ADD = plan_memory(ADDER, SMALL, "onnx")
MANIFESTS = {SMOL.id: SMOLLM2, MINI.id: MINILM, ADD.id: ADDER}


def plan_of(plans: Sequence[MemoryPlan], pinned: Set[VersionId], budget_bytes: int) -> PoolPlan:
    return plan_pool([MANIFESTS[plan.id] for plan in plans], plans, pinned, budget_bytes)


def runtime(plan: MemoryPlan) -> int:
    return plan.term("runtime").bytes


def test_the_process_counts_once() -> None:
    pool = plan_of([SMOL, MINI, ADD], frozenset(), 4 * GIB)
    assert pool.runtime_bytes == max(runtime(SMOL), runtime(MINI)) + 24 * 1024**2 < GIB
    assert pool.room_bytes == 4 * GIB - pool.runtime_bytes
    assert pool.sizes == {plan.id: plan.total_bytes - runtime(plan) for plan in (SMOL, MINI, ADD)}


def test_onnx_alone_needs_no_torch() -> None:
    assert plan_of([ADD], frozenset(), GIB).runtime_bytes == runtime(ADD)


def test_the_largest_model_must_fit_by_itself_to_the_byte() -> None:
    needed = max(runtime(SMOL), runtime(MINI)) + own_bytes(SMOL)
    plan_of([SMOL, MINI], frozenset(), needed)
    with pytest.raises(DoesNotFitError) as refused:
        plan_of([SMOL, MINI], frozenset(), needed - 1)
    assert str(refused.value).startswith("smollm2-135m@1 of ")
    assert "set memory to" in str(refused.value)
    assert "or lower the limits of smollm2-135m@1" in str(refused.value)


def test_the_others_must_fit_beside_the_pinned() -> None:
    needed = max(runtime(SMOL), runtime(MINI)) + own_bytes(SMOL) + own_bytes(MINI)
    pool = plan_of([SMOL, MINI], frozenset({MINI.id}), needed)
    assert pool.pinned == {MINI.id}
    with pytest.raises(DoesNotFitError, match=r"smollm2-135m@1 of .* beside 1 pinned models of .* need"):
        plan_of([SMOL, MINI], frozenset({MINI.id}), needed - 1)


def test_the_pinned_must_fit_together() -> None:
    both = frozenset({SMOL.id, MINI.id})
    with pytest.raises(DoesNotFitError, match=r"2 pinned models need .* or pin fewer models"):
        plan_of([SMOL, MINI], both, runtime(SMOL) + own_bytes(SMOL))


def test_a_budget_below_the_runtime_leaves_nothing() -> None:
    with pytest.raises(DoesNotFitError, match=r"leaves 0 B beside the runtime"):
        plan_of([MINI], frozenset(), 1)


def test_weights_that_would_change_the_process_are_refused() -> None:
    for manifest, plan in ((SMOLLM2, SMOL), (MINILM, MINI), (ADDER.model_copy(update={"dtype": "int8"}), ADD)):
        check_poolable(manifest, plan)
    with pytest.raises(ConfigError, match="minilm@1 has weights of dtype bfloat16"):
        check_poolable(MINILM.model_copy(update={"dtype": "bfloat16"}), MINI)


def test_what_is_planned_now_is_the_runtime_and_what_the_loaded_models_add() -> None:
    pool = plan_of([SMOL, MINI, ADD], frozenset(), 4 * GIB)
    for held in ((), (ADD.id,), (SMOL.id, MINI.id), (SMOL.id, MINI.id, ADD.id)):
        planned = pool.planned("pool-small", held)
        assert planned.total_bytes == pool.runtime_bytes + sum(pool.sizes[model] for model in held)
        assert (planned.owner, planned.budget_bytes, planned.host_bytes) == ("pool-small", 4 * GIB, 0)


def test_terms_stay_when_their_models_go() -> None:
    """Else a metric would keep the last bytes of a term that no loaded model has."""
    pool = plan_of([SMOL, MINI, ADD], frozenset(), 4 * GIB)
    empty, full = (pool.planned("p", held) for held in ((), tuple(pool.sizes)))
    assert [term.name for term in empty.terms] == [term.name for term in full.terms]
    assert {term.name for term in empty.terms if term.bytes} == {"runtime"}


def test_mapped_weights_are_told_from_those_that_an_engine_copies() -> None:
    pool = plan_of([SMOL, MINI, ADD], frozenset(), 4 * GIB)
    terms = {term.name: term for term in pool.planned("p", tuple(pool.sizes)).terms}
    mapped_bytes = SMOL.term("weights").bytes + MINI.term("weights").bytes
    assert (terms["weights"].bytes, terms["weights"].shared) == (mapped_bytes, True)
    assert (terms["copied_weights"].bytes, terms["copied_weights"].shared) == (ADD.term("weights").bytes, False)
    assert pool.mapped_sizes == {plan.id: plan.term("weights").bytes for plan in (SMOL, MINI)}


def tokenized(manifest: Manifest, version: str, letter: str) -> Manifest:
    entry = FileEntry(path="tokenizer.json", size_bytes=1, sha256=letter * 64)
    facts = TokenizerFacts(algorithm="BPE", vocab_size=1000)
    return manifest.model_copy(update={"version": version, "files": (entry,), "tokenizer": facts})


def test_a_tokenizer_counts_once_for_all_models_that_share_it() -> None:
    manifests = [tokenized(MINILM, version, letter) for version, letter in (("1", "a"), ("2", "a"), ("3", "b"))]
    plans = [plan_memory(manifest, SMALL, "embedding") for manifest in manifests]
    pool = plan_pool(manifests, plans, frozenset(), 4 * GIB)
    size = plans[0].term("tokenizer").bytes
    assert pool.tokenizer_bytes == 2 * size > 0
    assert pool.sizes[plans[0].id] == plans[0].total_bytes - runtime(plans[0]) - size
    assert pool.planned("p", ()).total_bytes == pool.runtime_bytes + 2 * size
