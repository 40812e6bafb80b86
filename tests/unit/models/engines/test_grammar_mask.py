"""The scores of requests with a grammar, beside those without, within one batch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState

from models.engines.grammar import Constraint, GrammarCompiler
from models.engines.grammar_mask import GrammarMask, grammar_arguments
from models.engines.sampling import build_processors, logits_arguments
from models.types import Grammar, GrammarKind, SamplingParams
from tests.unit.models.engines import tokenizers_for_tests

TOKENIZER: Tokenizer = tokenizers_for_tests.byte_level()
VOCAB_SIZE = TOKENIZER.get_vocab_size() + 5
EOS_ID = tokenizers_for_tests.id_of(TOKENIZER)
COMPILER = GrammarCompiler(TOKENIZER, VOCAB_SIZE, frozenset({EOS_ID}))
LETTERS = "abcdexyz"


def one_of(letters: str) -> Constraint:
    return COMPILER.constrain(Grammar(GrammarKind.REGEX, f"[{letters}]!", "regex"), 1)


def future(constraint: Constraint | None, sampling: SamplingParams | None = None) -> FutureRequestState:
    chosen = logits_arguments(sampling or SamplingParams(temperature=0), VOCAB_SIZE)
    given = {**chosen, **grammar_arguments(constraint)}
    return FutureRequestState(RequestState("r", [1], logit_processor_kwargs=given), True, {}, 1)


def processed(requests: Sequence[FutureRequestState], scores: torch.Tensor) -> torch.Tensor:
    """As one step of the manager does it."""
    processors = build_processors(VOCAB_SIZE)
    arguments = torch.zeros((processors.tensors_required, len(requests) + 2), dtype=torch.int32)
    processors.fill_defaults(arguments)
    processors.prepare_tensor_args(list(requests), arguments)
    result: torch.Tensor = processors(torch.LongTensor(len(requests), 1), scores, arguments)
    return result


SETS = st.none() | st.sets(st.sampled_from(LETTERS), min_size=1).map(lambda letters: "".join(sorted(letters)))


@given(rows=st.lists(SETS, min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_each_row_keeps_exactly_what_its_own_grammar_allows(rows: list[str | None], seed: int) -> None:
    scores = torch.randn((len(rows), VOCAB_SIZE), generator=torch.Generator().manual_seed(seed))
    before = scores.clone()
    after = processed([future(None if row is None else one_of(row)) for row in rows], scores)
    assert torch.equal(scores, before)
    for row, kept, given_ in zip(rows, after, before, strict=True):
        if row is None:
            assert torch.equal(kept, given_)
        else:
            ids = sorted(tokenizers_for_tests.id_of(TOKENIZER, letter) for letter in row)
            assert kept.isfinite().nonzero().flatten().tolist() == ids
            assert torch.equal(kept[ids], given_[ids])


def test_rows_of_prompts_that_are_not_read_yet_are_left_alone() -> None:
    """Those have scores too, behind the others, which nobody reads."""
    waiting = FutureRequestState(RequestState("w", [1]), False, {}, 1)
    scores = torch.randn((3, VOCAB_SIZE))
    after = processed([waiting, future(one_of("a")), future(None)], scores)
    assert after[0].isfinite().nonzero().flatten().tolist() == [tokenizers_for_tests.id_of(TOKENIZER, "a")]
    assert torch.equal(after[1:], scores[1:])


@pytest.mark.parametrize("sampling", [SamplingParams(seed=1, top_k=2), SamplingParams(seed=1, top_p=0.01)])
def test_the_likeliest_are_chosen_among_what_is_allowed(sampling: SamplingParams) -> None:
    scores = torch.zeros((1, VOCAB_SIZE))
    scores[0, tokenizers_for_tests.id_of(TOKENIZER, "q")] = 50.0
    after = processed([future(one_of("xy"), sampling)], scores)
    assert int(after.argmax()) in (
        tokenizers_for_tests.id_of(TOKENIZER, "x"),
        tokenizers_for_tests.id_of(TOKENIZER, "y"),
    )


def test_without_a_grammar_nothing_is_computed() -> None:
    mask = GrammarMask()
    scores = torch.randn((2, VOCAB_SIZE))
    flags = mask.prepare_tensor_args([future(None), future(None)])
    assert mask(scores, flags) is scores


def test_a_grammar_of_the_last_step_is_forgotten() -> None:
    mask = GrammarMask()
    mask(torch.zeros((1, VOCAB_SIZE)), mask.prepare_tensor_args([future(one_of("a"))]))
    scores = torch.randn((1, VOCAB_SIZE))
    assert mask(scores, mask.prepare_tensor_args([future(None)])) is scores


def test_it_is_named_to_the_manager() -> None:
    assert grammar_arguments(None) == {}
    build_processors(VOCAB_SIZE).check_kwargs(dict(grammar_arguments(one_of("a"))))
    with pytest.raises(TypeError, match="constraint"):
        build_processors(VOCAB_SIZE).check_kwargs({"constraint": "a"})
