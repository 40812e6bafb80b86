"""What the other ranks make of a step is what transformers' batching made of it on the leader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.continuous_api import ContinuousBatchProcessor
from transformers.generation.continuous_batching.input_outputs import PagedAttentionArgs

from models.parallel.steps import Step, StepReader, decode_step, read_step
from tests.unit.models.parallel.families import MIXED, build, config_of
from tests.unit.models.parallel.paged import cache_of, processor_of, request

NUMBERS = st.lists(st.integers(0, 2**31 - 1), max_size=20).map(lambda each: torch.tensor(each, dtype=torch.int32))


@st.composite
def steps(draw: st.DrawFn) -> Step:
    kinds = draw(st.integers(1, 3))
    ids, positions, rows, lengths_q = (draw(NUMBERS) for _ in range(4))
    lengths_k, writes, reads = (tuple(draw(NUMBERS) for _ in range(kinds)) for _ in range(3))
    return Step(ids, positions, rows, lengths_q, lengths_k, writes, reads)


@given(steps())
def test_a_step_comes_back_as_it_was(step: Step) -> None:
    message = step.encode()
    assert message.dtype == torch.int32
    found = decode_step(message)
    for field in fields(Step):
        before, after = getattr(step, field.name), getattr(found, field.name)
        assert_same(
            before if isinstance(before, tuple) else (before,), after if isinstance(after, tuple) else (after,)
        )


def assert_same(expected: object, found: object) -> None:
    """Tensors by their numbers, and what holds them by what it holds."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor)
        assert torch.equal(expected.to(found.dtype), found)
    elif isinstance(expected, list | tuple):
        assert isinstance(found, list | tuple)
        for one, other in zip(expected, found, strict=True):
            assert_same(one, other)
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert_same(value, found[key])
    else:
        assert expected == found


def batches(processor: ContinuousBatchProcessor, model: torch.nn.Module) -> Iterator[PagedAttentionArgs]:
    """Each before it is computed."""
    while processor.prepare_next_batch():
        batch: PagedAttentionArgs = processor.inputs_and_outputs.get_model_kwargs()
        yield batch
        processor._generation_step(model)
        processor.update_batch()


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text"])
def test_a_rank_with_the_same_layers_computes_with_what_the_leader_has(family: str) -> None:
    """Prompts in one piece and in several, windows that slide, decoding; not all fit into one batch."""
    model = build(config_of(family))
    processor = processor_of(model)
    for name, length in (("a", 13), ("b", 6), ("c", 3)):
        processor.scheduler.add_waiting_request(request(name, list(range(2, 2 + length))))
    read = StepReader(processor.cache, model.dtype)
    num_batches = 0
    for batch in batches(processor, model):
        given_to_it = read(read_step(batch).encode())
        assert torch.equal(given_to_it.ids, batch["input_ids"])
        assert_same(batch["logits_indices"], given_to_it.head["logits_to_keep"])
        expected = {key: value for key, value in batch.items() if key in given_to_it.body}
        assert_same(expected, given_to_it.body)
        left = batch.keys() - given_to_it.body.keys()
        assert left == {"input_ids", "logits_indices", "logits_processor_args"}
        num_batches += 1
    assert num_batches > 8


def mixed(*layer_types: str) -> PagedAttentionCache:
    return cache_of(config_of("gemma3_text", layer_types=[*layer_types], num_hidden_layers=len(layer_types)))


def alike(num_layers: int) -> PagedAttentionCache:
    return cache_of(config_of("llama", num_hidden_layers=num_layers))


@pytest.mark.parametrize(
    ("leader", "other"),
    [
        (alike(1), alike(3)),
        (alike(4), alike(2)),
        (mixed(*MIXED), mixed(*MIXED, *MIXED)),
        (mixed(*MIXED), mixed(*reversed(MIXED))),
    ],
    ids=["more layers", "fewer layers", "more of both kinds", "kinds in another order"],
)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_another_stage_finds_the_same_pages(
    leader: PagedAttentionCache, other: PagedAttentionCache, lengths: list[int]
) -> None:
    leader.reset()
    for number, length in enumerate(lengths):
        state = request(f"request {number}", [2])
        assert leader.can_store_request_tokens(state, length)
        for kind, allocator in leader.cache_allocators.items():
            other.cache_allocators[kind].block_table[state.request_id] = allocator.block_table[state.request_id]
        message = read_step(batch_of(leader, places(leader, state.request_id, length))).encode()
        told = StepReader(other, torch.float32)(message).body
        own = places(other, state.request_id, length)
        assert_same([own[kind] for kind in other.cache_allocators], told["write_index"])
        assert_same(told["write_index"], told["read_index"])


def places(cache: PagedAttentionCache, request_id: str, length: int) -> dict[str, torch.Tensor]:
    """Where the tokens of a request lie, for each kind of attention."""
    allocators = cache.cache_allocators.items()
    return {kind: torch.tensor(each.get_write_indices(request_id, 0, length)) for kind, each in allocators}


def batch_of(cache: PagedAttentionCache, by_kind: dict[str, torch.Tensor]) -> PagedAttentionArgs:
    """A batch of one request that is written to and read from these places; of it, what is told."""
    length = len(next(iter(by_kind.values())))
    ends = torch.tensor([0, length])
    indices = [by_kind[kind] for kind in cache.cache_allocators]
    told = {
        "input_ids": torch.zeros((1, length)),
        "position_ids": torch.zeros((1, length)),
        "logits_indices": torch.tensor([length - 1]),
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": dict.fromkeys(cache.cache_allocators, ends),
        "write_index": indices,
        "read_index": indices,
        "cache": cache,
    }
    return cast("PagedAttentionArgs", told)
