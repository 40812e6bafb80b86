"""Choosing the next token, per request, within one batch of continuous batching.

The manager runs with ``do_sample=False``, so it takes the argmax of whatever scores it is given. Sampling is
therefore done by adding Gumbel noise to the scores of the requests that sample (the Gumbel-max trick: the argmax
of log-probabilities plus Gumbel noise is a draw from them), and nothing to those of the greedy ones, which keeps
greedy output exactly that of ``generate``. The noise is a pure function of the request's seed, the position and
the vocabulary index, so a seed gives the same tokens whatever else is in the batch.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TypedDict

import torch
from transformers import LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
    ContinuousBatchingTemperatureLogitsWarper,
    ContinuousBatchingTopKLogitsWarper,
    ContinuousBatchingTopPLogitsWarper,
)
from transformers.generation.continuous_batching.requests import FutureRequestState
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from models.engines.grammar_mask import GrammarMask
from models.types import SamplingParams

GREEDY = 0
_MAX_SEED = 2**31 - 1
_MASK_32 = 0xFFFFFFFF
_GOLDEN_RATIO = 0x9E3779B9  # of 2**32: the step of SplitMix's counter, so that no two seeds meet soon


class LogitsArguments(TypedDict):
    """What ``ContinuousBatchingManager.add_request`` passes on to the processors below."""

    temperature: float
    top_k: int
    top_p: float
    seed: int


def logits_arguments(params: SamplingParams, vocab_size: int) -> LogitsArguments:
    """The processors' arguments for one request; a sampling request without a seed gets a random one."""
    if params.temperature == 0:
        return LogitsArguments(temperature=1.0, top_k=vocab_size, top_p=1.0, seed=GREEDY)
    seed = secrets.randbits(31) if params.seed is None else params.seed
    return LogitsArguments(
        temperature=float(params.temperature),
        top_k=min(params.top_k, vocab_size) if params.top_k else vocab_size,
        top_p=float(params.top_p),
        seed=_mix(seed & _MASK_32) % _MAX_SEED + 1,
    )


def build_processors(vocab_size: int) -> ContinuousBatchingLogitsProcessorList:
    """The processors of every request: its grammar, those of ``generate`` in their order, and the noise last."""
    processors: list[ContinuousBatchingLogitsProcessor] = [
        GrammarMask(),
        ContinuousBatchingTemperatureLogitsWarper(TemperatureLogitsWarper(1.0)),
        TopK(TopKLogitsWarper(vocab_size)),
        TopP(TopPLogitsWarper(1.0)),
        SeededNoise(),
    ]
    listed = ContinuousBatchingLogitsProcessorList(LogitsProcessorList(processors))
    listed.tensors_required = len(processors)
    return listed


class TopK(ContinuousBatchingTopKLogitsWarper):
    """The stock processor sorts the whole vocabulary at every step; on CPU skip it when no request asks for it."""

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        if scores.device.type == "cpu" and bool((tensor_arg[: scores.size(0)] >= scores.size(1)).all()):
            return scores
        return super().__call__(scores, tensor_arg)


class TopP(ContinuousBatchingTopPLogitsWarper):
    """As TopK: nothing to do when every request keeps the whole distribution."""

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        top_p = tensor_arg[: scores.size(0)].view(dtype=torch.float32)
        if scores.device.type == "cpu" and bool((top_p >= 1).all()):
            return scores
        return super().__call__(scores, tensor_arg)


class SeededNoise(ContinuousBatchingLogitsProcessor):
    """Adds Gumbel noise to the rows whose request samples. Its argument is a seed for the step, 0 for greedy."""

    supported_kwargs: dict[str, type] = {"seed": int}  # noqa: RUF012  the base class declares it so
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.fill_(GREEDY)

    def prepare_tensor_args(self, requests_with_new_token: Sequence[FutureRequestState]) -> torch.Tensor:
        seeds = [_step_seed(request) for request in requests_with_new_token]
        return torch.tensor(seeds, dtype=torch.int32, device="cpu")

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        seeds = tensor_arg[: scores.size(0)].to(torch.int64)
        if scores.device.type == "cpu" and not bool(seeds.any()):
            return scores
        noise = gumbel_noise(seeds, scores.size(1))
        return torch.where((seeds != GREEDY).unsqueeze(-1), scores + noise, scores)


def gumbel_noise(seeds: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Gumbel(0, 1) noise of shape [len(seeds), vocab_size], float32: -log(-log(u)) with u uniform in (0, 1)."""
    index = torch.arange(vocab_size, device=seeds.device, dtype=torch.int64)
    bits = _mix_tensor(_mix_tensor(seeds).unsqueeze(-1) ^ _mix_tensor(index))
    uniform = (bits.to(torch.float64) + 0.5) / 2**32
    return -torch.log(-torch.log(uniform)).to(torch.float32)


def _step_seed(request: FutureRequestState) -> int:
    seed = int(request.state.logit_processor_kwargs.get("seed", GREEDY))
    if seed == GREEDY:
        return GREEDY
    # The place of the new token in the sequence. Unlike the count of generated tokens it is exact while a batch is
    # prepared before the last one's tokens are known, and for a request that was evicted and starts again.
    return _mix(seed + request.state.position_offset * _GOLDEN_RATIO & _MASK_32) % _MAX_SEED + 1


def _mix(value: int) -> int:
    """Chris Wellons' low-bias 32-bit integer hash (hash-prospector)."""
    value ^= value >> 16
    value = value * 0x7FEB352D & _MASK_32
    value ^= value >> 15
    value = value * 0x846CA68B & _MASK_32
    return value ^ value >> 16


def _mix_tensor(value: torch.Tensor) -> torch.Tensor:
    """``_mix`` over an int64 tensor of values below 2**32."""
    value = value ^ (value >> 16)
    value = value * 0x7FEB352D & _MASK_32
    value = value ^ (value >> 15)
    value = value * 0x846CA68B & _MASK_32
    return value ^ (value >> 16)
