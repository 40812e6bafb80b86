"""The scheduler of a group under any order of arrivals, batches and cancellations."""

from __future__ import annotations

from collections import deque
from math import ceil

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.requests import (
    TMP_TOKEN_ID,
    FutureRequestState,
    RequestState,
    RequestStatus,
)

from models.parallel.scheduler import GroupScheduler
from tests.unit.models.parallel.families import config_of
from tests.unit.models.parallel.paged import PAGE_SIZE, cache_of, request

MAX_NUM_SEQS = 5
NUM_BATCHES = 3
NUM_TOKENS = 4
TOKEN_BUDGET = 8


class Batches(RuleBasedStateMachine):
    """Batches leave and come back in order, as a group's leader sends and completes them."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: PagedAttentionCache = cache_of(config_of("llama", num_hidden_layers=1), num_pages=200)
        self.away: set[str] = set()
        self.scheduler = GroupScheduler(self.cache, MAX_NUM_SEQS, NUM_BATCHES, self.away)
        self.batches: deque[list[FutureRequestState]] = deque()
        self.states: dict[str, RequestState] = {}
        self.cancelled: set[str] = set()

    @rule(length=st.integers(1, 3 * TOKEN_BUDGET))
    def arrive(self, length: int) -> None:
        """Prompts share their beginning, and with it pages."""
        state = request(f"request {len(self.states)}", list(range(2, 2 + length)), max_new_tokens=NUM_TOKENS)
        self.states[state.request_id] = state
        self.scheduler.add_waiting_request(state)

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.states)))
        self.cancelled.add(name)
        self.scheduler.set_request_cancellation(name)

    @precondition(lambda self: len(self.batches) < NUM_BATCHES)
    @rule()
    def launch(self) -> None:
        self.launches()

    def launches(self) -> bool:
        """Whether there is a batch."""
        held = self.pages_of(self.away)
        cleared = {state.request_id for state in self.scheduler.clear_cancelled_requests()}
        assert cleared.isdisjoint(self.away)
        assert self.pages_of(self.away) == held
        if not self.scheduler.has_pending_requests():
            return False
        batch, _, num_tokens, _ = self.scheduler.schedule_batch(TOKEN_BUDGET, self.cache.max_tokens_read)
        assert batch is not None
        if not batch:
            return False
        names = {each.state.request_id for each in batch}
        assert len(names) == len(batch) <= ceil(MAX_NUM_SEQS / NUM_BATCHES)
        assert names.isdisjoint(self.away)
        assert names.isdisjoint(self.cancelled)
        assert num_tokens == sum(each.query_length for each in batch) <= TOKEN_BUDGET
        self.send(batch)
        return True

    def send(self, batch: list[FutureRequestState]) -> None:
        """As transformers' batching does while it prepares the tensors."""
        for each in batch:
            each.state.position_offset += each.query_length
            if each.has_new_token:
                each.state.tokens_to_process = [TMP_TOKEN_ID]
        self.batches.append(batch)
        self.away.update(each.state.request_id for each in batch)

    @precondition(lambda self: self.batches)
    @rule()
    def complete(self) -> None:
        """As transformers' batching does with the new tokens."""
        batch = self.batches.popleft()
        self.away.difference_update(each.state.request_id for each in batch)
        for each in batch:
            is_finished = each.has_new_token and each.state.update_and_check_completion(7, None)
            self.cache.mark_complete_blocks(each.state, each.complete_blocks)
            if is_finished:
                self.scheduler.finish_request(each.state.request_id)

    @invariant()
    def no_more_than_planned_are_active(self) -> None:
        assert len(self.scheduler.active_requests) <= MAX_NUM_SEQS

    @invariant()
    def what_is_under_way_has_its_pages(self) -> None:
        assert all(pages for pages in self.pages_of(self.away).values())

    def teardown(self) -> None:
        """All come to an end, and no page is kept."""
        while self.batches or self.scheduler.has_pending_requests():
            if not (len(self.batches) < NUM_BATCHES and self.launches()):
                assert self.batches or not self.scheduler.has_pending_requests()
                if self.batches:
                    self.complete()
        for name, state in self.states.items():
            assert name in self.cancelled or state.status == RequestStatus.FINISHED
            assert name in self.cancelled or state.generated_tokens == [7] * NUM_TOKENS
        assert not any(each.block_table for each in self.cache.cache_allocators.values())

    def pages_of(self, names: set[str]) -> dict[str, tuple[int, ...]]:
        (allocator,) = self.cache.cache_allocators.values()
        return {name: tuple(allocator.block_table.get(name, ())) for name in names}


TestBatches = Batches.TestCase
TestBatches.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_full_cache_waits_for_what_is_under_way() -> None:
    """Stock batching would give up a request, or fail where there is none to give up."""
    cache = cache_of(config_of("llama", num_hidden_layers=1), num_pages=4)
    away: set[str] = set()
    scheduler = GroupScheduler(cache, MAX_NUM_SEQS, NUM_BATCHES, away)
    for name in "ab":
        scheduler.add_waiting_request(request(name, [ord(name)] * (3 * PAGE_SIZE)))
    first, *_ = scheduler.schedule_batch(64, cache.max_tokens_read)
    assert [each.state.request_id for each in first or ()] == ["a"]
    away.add("a")
    assert scheduler.schedule_batch(64, cache.max_tokens_read)[0] == []
    away.clear()
    scheduler.finish_request("a")
    second, *_ = scheduler.schedule_batch(64, cache.max_tokens_read)
    assert [each.state.request_id for each in second or ()] == ["b"]
