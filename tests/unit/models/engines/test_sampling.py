"""Sampling draws from the distribution asked for, and a seed repeats its draws whatever runs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from models.engines.sampling import GREEDY, build_processors, gumbel_noise, logits_arguments
from models.types import SamplingParams

VOCAB_SIZE = 8
LOGITS = torch.tensor([2.0, 1.0, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0])
PROBABILITIES = LOGITS.softmax(-1)
PAIR_PROBABILITIES = torch.outer(PROBABILITIES, PROBABILITIES).flatten()
GREEDY_PARAMS = SamplingParams(temperature=0)
NO_WARPING = SamplingParams(seed=1)

# Chi-square values that chance exceeds once in 10,000 times, for 7 and 63 degrees of freedom.
LIMIT_7 = 29.9
LIMIT_63 = 113.5


@dataclass(frozen=True)
class Row:
    """One request at one place in its sequence."""

    params: SamplingParams
    position: int = 10
    logits: torch.Tensor = LOGITS


def process(rows: Sequence[Row], *, leave_out: int = 0) -> torch.Tensor:
    """The scores after all processors but the last ``leave_out``, as one step of the manager computes them."""
    processors = build_processors(VOCAB_SIZE)
    requests = [FutureRequestState(_state(row), True, {}, 1) for row in rows]
    arguments = torch.zeros((processors.tensors_required, len(rows) + 1), dtype=torch.int32)
    processors.fill_defaults(arguments)
    processors.prepare_tensor_args(requests, arguments)
    if leave_out:
        del processors.logits_processor[-leave_out:]
    ids = torch.LongTensor(len(rows), 1)
    scores: torch.Tensor = processors(ids, torch.stack([row.logits for row in rows]), arguments)
    return scores


def draw(rows: Sequence[Row]) -> list[int]:
    tokens: list[int] = process(rows).argmax(dim=-1).tolist()
    return tokens


def _state(row: Row) -> RequestState:
    kwargs = dict(logits_arguments(row.params, VOCAB_SIZE))
    return RequestState("r", [0], position_offset=row.position, logit_processor_kwargs=kwargs)


def chi_square(observed: torch.Tensor, probabilities: torch.Tensor) -> float:
    expected = probabilities * observed.sum()
    return float(((observed - expected) ** 2 / expected).sum())


def count_pairs(first: Sequence[int], second: Sequence[int]) -> torch.Tensor:
    cells = torch.tensor(first) * VOCAB_SIZE + torch.tensor(second)
    return torch.bincount(cells, minlength=VOCAB_SIZE**2)


PARAMS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.25, 1.0, 1.5]),
    top_p=st.integers(1, 64).map(
        lambda parts: parts / 64
    ),  # exact in float32, so no boundary is a matter of rounding
    top_k=st.integers(0, VOCAB_SIZE + 2),
    seed=st.integers(0, 2**63),
)
SAMPLING = PARAMS.filter(lambda params: params.temperature > 0)
SCORES = st.lists(st.floats(-10, 10, width=16), min_size=VOCAB_SIZE, max_size=VOCAB_SIZE).map(torch.tensor)
ROWS = st.builds(Row, PARAMS, st.integers(1, 4000), SCORES)


def test_one_seed_draws_from_the_softmax_along_its_sequence() -> None:
    drawn = draw([Row(NO_WARPING, position) for position in range(20_000)])
    counts = torch.bincount(torch.tensor(drawn), minlength=VOCAB_SIZE)
    assert chi_square(counts, PROBABILITIES) < LIMIT_7


def test_one_position_draws_from_the_softmax_over_all_seeds() -> None:
    drawn = draw([Row(SamplingParams(seed=seed)) for seed in range(20_000)])
    counts = torch.bincount(torch.tensor(drawn), minlength=VOCAB_SIZE)
    assert chi_square(counts, PROBABILITIES) < LIMIT_7


def test_temperature_shapes_the_distribution() -> None:
    drawn = draw([Row(SamplingParams(seed=1, temperature=2.0), position) for position in range(20_000)])
    counts = torch.bincount(torch.tensor(drawn), minlength=VOCAB_SIZE)
    assert chi_square(counts, (LOGITS / 2).softmax(-1)) < LIMIT_7
    assert chi_square(counts, PROBABILITIES) > LIMIT_7


def test_successive_tokens_are_independent() -> None:
    drawn = draw([Row(NO_WARPING, position) for position in range(20_001)])
    assert chi_square(count_pairs(drawn[:-1], drawn[1:]), PAIR_PROBABILITIES) < LIMIT_63


def test_neighbouring_seeds_are_independent() -> None:
    drawn = draw([Row(SamplingParams(seed=seed)) for seed in range(20_001)])
    assert chi_square(count_pairs(drawn[:-1], drawn[1:]), PAIR_PROBABILITIES) < LIMIT_63


@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_the_rest_of_the_batch_changes_no_token(rows: list[Row]) -> None:
    assert draw(rows) == [draw([row])[0] for row in rows]


@given(logits=SCORES, others=st.lists(ROWS, max_size=5))
def test_greedy_scores_are_left_as_they_are(logits: torch.Tensor, others: list[Row]) -> None:
    processed = process([Row(GREEDY_PARAMS, logits=logits), *others])
    assert torch.equal(processed[0], logits)


@given(params=SAMPLING, logits=SCORES)
def test_warping_equals_that_of_generate(params: SamplingParams, logits: torch.Tensor) -> None:
    ids = torch.zeros((1, 1), dtype=torch.int64)
    expected = TemperatureLogitsWarper(params.temperature)(ids, logits.unsqueeze(0))
    if params.top_k:
        expected = TopKLogitsWarper(params.top_k)(ids, expected)
    if params.top_p < 1:
        expected = TopPLogitsWarper(params.top_p)(ids, expected)
    assert torch.equal(process([Row(params, logits=logits)], leave_out=1), expected)


@given(params=SAMPLING, logits=SCORES, position=st.integers(1, 4000))
def test_what_was_filtered_out_is_never_drawn(params: SamplingParams, logits: torch.Tensor, position: int) -> None:
    row = Row(params, position, logits)
    kept = process([row], leave_out=1)[0].isfinite()
    assert bool(kept[draw([row])[0]])


def test_the_noise_changes_with_the_position_and_the_seed() -> None:
    rows = [Row(SamplingParams(seed=seed), position) for seed in range(64) for position in range(64)]
    assert len({tuple(scores.tolist()) for scores in process(rows)}) == len(rows)


def test_an_evicted_request_goes_on_as_it_would_have() -> None:
    """It starts again with what it had generated as part of its prompt, and so at the same place."""
    state = replace(_state(Row(NO_WARPING)), initial_tokens=[1, 2, 3], generated_tokens=[4, 5], position_offset=5)
    again = state.create_equivalent_initial_request()
    again.position_offset = 5
    noise = build_processors(VOCAB_SIZE).logits_processor[-1]
    before, after = (noise.prepare_tensor_args([FutureRequestState(each, True, {}, 1)]) for each in (state, again))
    assert before.tolist() == after.tolist() != [GREEDY]


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31 - 1, 2**32, 2**63, None])
def test_no_seed_is_taken_for_greedy(seed: int | None) -> None:
    assert 0 < logits_arguments(SamplingParams(seed=seed), VOCAB_SIZE)["seed"] < 2**31


def test_requests_without_a_seed_get_different_ones() -> None:
    seeds = {logits_arguments(SamplingParams(), VOCAB_SIZE)["seed"] for _ in range(20)}
    assert len(seeds) == 20


def test_greedy_ignores_everything_else() -> None:
    arguments = logits_arguments(SamplingParams(temperature=0, top_p=0.1, top_k=3, seed=7), VOCAB_SIZE)
    assert arguments == {"temperature": 1.0, "top_k": VOCAB_SIZE, "top_p": 1.0, "seed": GREEDY}


@given(seeds=st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=20))
def test_noise_is_finite_and_repeats(seeds: list[int]) -> None:
    noise = gumbel_noise(torch.tensor(seeds), 64)
    assert noise.isfinite().all()
    assert torch.equal(noise, gumbel_noise(torch.tensor(seeds), 64))
    assert torch.equal(noise[-1:], gumbel_noise(torch.tensor(seeds[-1:]), 64))
