"""Which requests go into the next batch of a group. Imports torch."""

from __future__ import annotations

from math import ceil

from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState
from transformers.generation.continuous_batching.scheduler import FIFOScheduler


class GroupScheduler(FIFOScheduler):
    """Gives each batch its share of the requests, and none that another batch has under way."""

    def __init__(
        self, cache: PagedAttentionCache, max_num_seqs: int, num_batches: int, under_way: set[str]
    ) -> None:
        """``under_way`` are the ids of those requests, kept by whoever sends and receives the batches."""
        self._under_way = under_way
        self._num_away = 0
        self._max_num_seqs = max_num_seqs
        self._num_batches = num_batches
        super().__init__(cache, None, max_num_seqs)

    def schedule_batch(
        self, token_budget: int, cache_budget: int
    ) -> tuple[list[FutureRequestState] | None, bool, int, int]:
        """As the stock scheduler, for the requests that are here."""
        if not self.active_requests:
            self.block_new_requests = False  # nobody is left whose end would allow them
        away = {key: state for key, state in self.active_requests.items() if key in self._under_way}
        num_all = len(self.active_requests) + len(self.waiting_requests)
        self.max_requests_per_batch = max(1, ceil(min(num_all, self._max_num_seqs) / self._num_batches))
        self.active_requests = {key: state for key, state in self.active_requests.items() if key not in away}
        self._num_away = len(away)
        try:
            scheduled, is_decoding, num_tokens, num_read = super().schedule_batch(token_budget, cache_budget)
        finally:
            self.active_requests = away | self.active_requests
        if scheduled is None and away:
            scheduled = []  # what is under way will leave room
        return scheduled, is_decoding, num_tokens, num_read

    def clear_cancelled_requests(self) -> list[RequestState]:
        """Pages of what is under way are still written to: it ends when it is back."""
        later = self._requests_to_cancel & self._under_way
        self._requests_to_cancel -= later
        cleared = super().clear_cancelled_requests()
        self._requests_to_cancel |= later
        return cleared

    def _get_waiting_candidates(self) -> list[RequestState]:
        free = self._max_num_seqs - self._num_away - len(self.active_requests)
        return super()._get_waiting_candidates()[: max(0, free)]
