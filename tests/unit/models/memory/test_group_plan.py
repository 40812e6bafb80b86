"""What the ranks of a group hold together, and each by itself."""

from __future__ import annotations

from itertools import combinations
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DoesNotFitError
from models.hardware import Device
from models.manifest import Manifest
from models.memory.account import weight_account
from models.memory.group_plan import GroupPlan, RankPlan
from models.memory.kv_cache import cache_layout
from models.memory.overheads import MEASURED, MIB
from models.memory.plan import ANY_CPU, MemoryPlan, cheaper, plan_memory, plan_replica
from models.memory.sizing import Replica
from models.memory.terms import MemoryTerm
from models.parallel.layout import Degree, GroupLayout
from models.spec import EngineName, Limits
from tests.unit.manifests import MINILM, SMOLLM2
from tests.unit.models.known_models import known

GIB = 1024 * MIB
GPU = Device("h100-80gb", "cuda", 80 * GIB, 79 * GIB, "H100")
LLAMA, UNTIED, HYBRID = (known(name).manifest() for name in ("llama-3.2-1b", "llama-3.1-8b", "gemma-3-1b"))
LIMITS = Limits(max_model_len=2048)
DEGREES = st.sampled_from([Degree(1, 2), Degree(2, 1), Degree(4, 3), Degree(8, 2), Degree(1, 16)])
DECODERS = st.sampled_from([LLAMA, UNTIED])


def plan(
    manifest: Manifest,
    degree: Degree,
    limits: Limits = LIMITS,
    device: Device = ANY_CPU,
    budget: int | None = None,
) -> MemoryPlan:
    engine: EngineName = "embedding" if manifest.embedding else "transformers"
    return plan_replica(Replica(manifest, engine, device, MEASURED), limits, budget, degree)


def group(*args: object, **options: object) -> GroupPlan:
    found = plan(*args, **options).group  # type: ignore[arg-type]
    assert found is not None
    return found


def term(rank: RankPlan, name: str) -> MemoryTerm | None:
    return next((each for each in rank.terms if each.name == name), None)


def weight_bytes(rank: RankPlan) -> int:
    return sum(each.bytes for each in rank.terms if each.name in ("weights", "copied_weights"))


@given(manifest=DECODERS, degree=DEGREES)
def test_the_ranks_hold_the_model_and_what_it_takes_twice(manifest: Manifest, degree: Degree) -> None:
    account, ranks = weight_account(manifest), group(manifest, degree).ranks
    assert account is not None
    whole = [layer.bytes - layer.row_bytes - layer.column_bytes for layer in account.each_layer]
    once = account.embedding_bytes + sum(layer.bytes for layer in account.each_layer) + account.norm_bytes
    held = once + account.head_bytes + (degree.tensor - 1) * (sum(whole) + account.norm_bytes)
    if not account.head_bytes and degree.pipeline > 1:
        held += account.embedding_bytes
    assert sum(map(weight_bytes, ranks)) == held


@given(manifest=DECODERS, degree=DEGREES)
def test_every_layer_is_in_one_stage(manifest: Manifest, degree: Degree) -> None:
    assert manifest.architecture is not None
    ranks = group(manifest, degree).ranks
    layers = sorted(layer for each in ranks for layer in range(each.shard.first_layer, each.shard.stop_layer))
    expected = [layer for layer in range(manifest.architecture.num_hidden_layers) for _ in range(degree.tensor)]
    assert layers == expected
    assert [each.rank for each in ranks] == list(range(degree.num_ranks))


@given(manifest=DECODERS, degree=DEGREES, seqs=st.integers(1, 32), tokens=st.integers(16, 600))
def test_the_ranks_have_the_cache_of_one_process_between_them(
    manifest: Manifest, degree: Degree, seqs: int, tokens: int
) -> None:
    limits = Limits(max_model_len=1024, max_num_seqs=seqs, max_batch_tokens=tokens)
    alone, found = plan_memory(manifest, limits, "transformers"), plan(manifest, degree, limits)
    assert found.group is not None
    assert found.num_kv_pages == alone.num_kv_pages
    assert sum(each.kv_cache_bytes for each in found.group.ranks) == alone.kv_cache_bytes
    assert found.total_bytes == max(each.total_bytes for each in found.group.ranks)
    assert found.budget_bytes == found.total_bytes


def test_layers_of_two_kinds_have_as_many_pages_in_each_stage() -> None:
    found = plan(HYBRID, Degree(1, 2))
    assert HYBRID.architecture is not None
    assert found.group is not None
    whole = cache_layout(HYBRID.architecture, 2, LIMITS.page_size)
    cached = [each.kv_cache_bytes for each in found.group.ranks]
    assert cached[0] == cached[1] == whole.total_bytes(found.num_kv_pages) // 2


def test_only_rank_0_samples_and_reads_text() -> None:
    leader, *others = group(SMOLLM2, Degree(3, 2)).ranks
    assert leader.shard.is_last
    sizes = [term(each, "logits") for each in (leader, *others)]
    assert [each is not None for each in sizes] == [True, True, True, False, False, False]
    assert sizes[0] is not None
    assert sizes[1] is not None
    # 4 sequences of each of two batches: float32 scores and a third of them; for sampling 8 + 32 bytes more.
    assert sizes[1].bytes == 4 * (49152 * 4 + 49152 // 3 * 4)
    assert sizes[0].bytes == sizes[1].bytes + 4 * 49152 * 40
    attention = [term(each, "attention") for each in (leader, *others)]
    assert attention[0] is not None
    assert attention[1] is not None
    assert attention[0].bytes > attention[1].bytes


def test_batches_under_way_share_a_step() -> None:
    alone, halved = plan(SMOLLM2, Degree()), group(SMOLLM2, Degree(1, 2))
    widths = 576 * 4 * 2  # the states that came, and those that go on
    for rank in halved.ranks:
        activations = term(rank, "activations")
        assert activations is not None
        assert activations.bytes == alone.term("activations").bytes // 2 + 256 * widths
    tiny = group(SMOLLM2, Degree(1, 30), LIMITS.model_copy(update={"max_batch_tokens": 16}))
    assert all("16 batch tokens" in str(term(each, "activations")) for each in tiny.ranks)
    assert ceil(LIMITS.max_num_seqs / 30) == 1


def test_on_a_cpu_rows_stay_mapped_and_columns_are_copied() -> None:
    account = weight_account(LLAMA)
    assert account is not None
    (sliced, *_), whole = group(LLAMA, Degree(2, 1)).ranks, group(LLAMA, Degree(1, 2)).ranks[0]
    columns = sum(layer.column_bytes for layer in account.each_layer) // 2
    copied = term(sliced, "copied_weights")
    assert copied is not None
    assert copied.bytes == columns
    assert sliced.shared_bytes == weight_bytes(sliced) - columns
    assert whole.shared_bytes == weight_bytes(whole)
    on_gpu = group(LLAMA, Degree(2, 1), device=GPU).ranks[0]
    assert (on_gpu.shared_bytes, weight_bytes(on_gpu)) == (0, weight_bytes(sliced))
    assert {each.name for each in on_gpu.terms} >= {"context", "communication"}
    assert {each.name for each in on_gpu.host_terms} == {"runtime"}


def test_what_cannot_be_mapped_counts_as_copied() -> None:
    cast = LLAMA.model_copy(update={"shared_weight_bytes": LLAMA.weight_bytes - 1})
    assert [each.shared_bytes for each in group(cast, Degree(1, 2)).ranks] == [0, 0]


def test_the_stages_of_an_encoder_take_its_whole_batches() -> None:
    alone, found = plan(MINILM, Degree(), Limits()), group(MINILM, Degree(1, 2), Limits())
    passed_on = 2 * 32 * 256 * 384 * 4
    for rank in found.ranks:
        activations = term(rank, "activations")
        assert activations is not None
        assert activations.bytes == alone.term("activations").bytes + passed_on
        assert rank.kv_cache_bytes == 0


@pytest.mark.parametrize("manifest", [SMOLLM2, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("pipeline", [2, 3])
def test_no_other_layout_has_a_smaller_largest_rank(manifest: Manifest, pipeline: int) -> None:
    degree, found = Degree(1, pipeline), plan(manifest, Degree(1, pipeline))
    assert manifest.architecture is not None
    num_layers = manifest.architecture.num_hidden_layers
    for cuts in combinations(range(1, num_layers), pipeline - 1):
        other = Replica(manifest, "transformers", ANY_CPU, MEASURED, GroupLayout(degree, (*cuts, num_layers)))
        assert other.total_bytes(LIMITS) >= found.total_bytes - num_layers


@given(degree=st.sampled_from([Degree(1, 2), Degree(3, 1), Degree(3, 2)]), spare=st.integers(0, 4 * GIB))
def test_each_rank_has_the_budget_and_the_cache_fills_it(degree: Degree, spare: int) -> None:
    limits = Limits(max_model_len=256, max_num_seqs=4)
    needed = plan(SMOLLM2, degree, limits).total_bytes
    found = plan(SMOLLM2, degree, limits, budget=needed + spare)
    assert found.group is not None
    assert {each.budget_bytes for each in found.group.ranks} == {needed + spare}
    assert all(each.total_bytes <= needed + spare for each in found.group.ranks)
    more = Replica(SMOLLM2, "transformers", ANY_CPU, MEASURED, found.group.layout)
    assert more.total_bytes(limits, found.num_kv_pages + 1) > needed + spare


def test_the_replica_s_own_process_is_measured_as_rank_0() -> None:
    found = plan(SMOLLM2, Degree(1, 2))
    assert found.group is not None
    assert found.planned.terms == found.group.ranks[0].terms != found.terms
    assert found.planned.budget_bytes == found.group.ranks[0].budget_bytes


def test_of_vllm_all_ranks_are_measured_together_and_nothing_is_shared() -> None:
    alone = plan_memory(SMOLLM2, LIMITS, "vllm")
    found = plan_replica(Replica(SMOLLM2, "vllm", ANY_CPU, MEASURED), LIMITS, None, Degree(1, 2))
    assert found.group is not None
    ranks, planned = found.group.ranks, found.planned
    assert planned.total_bytes == sum(rank.total_bytes for rank in ranks)
    assert planned.budget_bytes == sum(rank.budget_bytes for rank in ranks)
    assert len({term.name for term in planned.terms}) == len(planned.terms)
    assert found.shared_bytes == 0
    assert planned.kv_cache_bytes == alone.kv_cache_bytes
    steps = [term(rank, "activations") for rank in ranks]
    whole = alone.term("activations").bytes  # a batch of each stage may be as large as that of one process
    assert all(step is not None and step.bytes > whole for step in steps)
    runtimes = [term(rank, "runtime") for rank in ranks]
    overhead = MEASURED.of("vllm", "cpu")
    assert [each and each.bytes for each in runtimes] == [overhead.host_bytes, overhead.follower_bytes]
    assert [rank.shard.num_layers for rank in ranks] == [15, 15]  # whatever the leader weighs beside


def test_a_budget_that_no_rank_can_keep_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match="memory of smollm2-135m@1 is"):
        plan(SMOLLM2, Degree(1, 2), Limits(), budget=500 * MIB)


def test_a_group_that_is_too_large_gets_a_smaller_one_offered() -> None:
    found = plan(SMOLLM2, Degree(1, 2))
    change = cheaper(found, SMOLLM2, LIMITS, found.total_bytes - 1)[0]
    assert change.settings == (("limits.max_num_seqs", 7),)
    halved = plan(SMOLLM2, Degree(1, 2), LIMITS.model_copy(update={"max_num_seqs": 7}))
    assert change.total_bytes >= halved.total_bytes
