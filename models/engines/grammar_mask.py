"""Keeps the requests that have a grammar to it, within one batch of continuous batching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessor
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState

from models.engines.grammar import Constraint


class GrammarArguments(TypedDict, total=False):
    """What ``ContinuousBatchingManager.add_request`` passes on to the processor below."""

    constraint: Constraint


def grammar_arguments(constraint: Constraint | None) -> GrammarArguments:
    """The processor's arguments for one request."""
    return {} if constraint is None else {"constraint": constraint}


class GrammarMask(ContinuousBatchingLogitsProcessor):
    """Takes the tokens that a request's grammar does not allow next out of its scores.

    It needs the tokens of the last step when the next is prepared, and to be called for each step: so neither
    batches that are prepared ahead of time nor recorded CUDA graphs. No request has a grammar: no work.
    """

    supported_kwargs: dict[str, type] = {"constraint": Constraint}  # noqa: RUF012  the base class declares it so
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._rows: list[int] = []  # of the scores: those of requests with a new token come first, in order
        self._allowed = torch.empty(0)  # uint8 [rows, bytes]

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: Sequence[FutureRequestState]) -> torch.Tensor:
        """What is allowed is kept for the call that follows: it takes more than one number for each request."""
        states = [request.state for request in requests_with_new_token]
        self._rows = [row for row, state in enumerate(states) if "constraint" in state.logit_processor_kwargs]
        if self._rows:
            self._allowed = _stack([_constraint(states[row]).allowed(states[row]) for row in self._rows])
        return torch.empty(0, dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        if not self._rows:
            return scores
        rows = torch.tensor(self._rows, device=scores.device)
        allowed = _unpack(self._allowed.to(scores.device), scores.size(1))
        return scores.index_copy(0, rows, scores[rows].masked_fill(~allowed, float("-inf")))


def _constraint(state: RequestState) -> Constraint:
    constraint: Constraint = state.logit_processor_kwargs["constraint"]
    return constraint


def _stack(masks: list[bytes]) -> torch.Tensor:
    return torch.frombuffer(bytearray(b"".join(masks)), dtype=torch.uint8).view(len(masks), -1)


def _unpack(masks: torch.Tensor, num_bits: int) -> torch.Tensor:
    """The bits of uint8 [rows, bytes], the lowest first, as booleans [rows, num_bits]."""
    bits = torch.arange(8, dtype=torch.uint8, device=masks.device)
    return ((masks.unsqueeze(-1) >> bits) & 1).view(masks.size(0), -1)[:, :num_bits].to(torch.bool)
