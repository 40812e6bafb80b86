from __future__ import annotations

import pytest
from transformers import PretrainedConfig

from models.errors import ConfigError
from models.parallel.cache_shape import check_alike, shape_of
from tests.unit.models.parallel.families import config_of
from tests.unit.models.parallel.paged import cache_of

SLIDING, FULL = "sliding_attention", "full_attention"


def test_one_kind_of_attention_corresponds_whatever_the_number_of_layers() -> None:
    shapes = [shape_of(cache_of(config_of("llama", num_hidden_layers=layers))) for layers in (1, 2, 3, 7)]
    check_alike(shapes)
    assert shapes[0].num_sectors == 32


def test_two_kinds_correspond_where_they_are_as_many_to_one() -> None:
    kinds = ([SLIDING, FULL], [FULL, SLIDING], [SLIDING, FULL, SLIDING, FULL])
    check_alike([shape_of(cache_of(gemma(each))) for each in kinds])


def test_two_kinds_in_other_proportions_are_refused_with_the_rank() -> None:
    kinds = ([SLIDING, FULL], [SLIDING, FULL], [SLIDING, SLIDING, SLIDING, FULL])
    with pytest.raises(ConfigError) as caught:
        check_alike([shape_of(cache_of(gemma(each))) for each in kinds])
    assert "rank 0 has 64 times 1 of full_attention or 1 of sliding_attention, rank 2 43 times 3" in str(
        caught.value
    )
    assert "rank 1" not in str(caught.value)


def test_other_numbers_of_pages_are_refused() -> None:
    few, many = (shape_of(cache_of(config_of("llama"), num_pages=number)) for number in (31, 32))
    with pytest.raises(ConfigError, match="rank 0 has 32 times 1 of full_attention, rank 1 31 times 1"):
        check_alike([many, few])


def gemma(layer_types: list[str]) -> PretrainedConfig:
    return config_of("gemma3_text", layer_types=layer_types, num_hidden_layers=len(layer_types))
