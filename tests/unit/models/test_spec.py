"""What an operator may write of a model."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from models.spec import Limits, ModelSpec
from models.types import VersionId


def test_a_name_is_enough() -> None:
    spec = ModelSpec(model="minilm")
    assert (spec.id, spec.limits, spec.allow_pickle) == (VersionId("minilm", "1"), Limits(), False)


@pytest.mark.parametrize(("written", "version"), [("2", "2"), (2, "2"), ("1.10", "1.10")])
def test_a_version_may_be_a_whole_number_in_yaml(written: object, version: str) -> None:
    assert ModelSpec.model_validate({"model": "m", "version": written}).version == version


@pytest.mark.parametrize("written", [1.1, True, None])
def test_a_version_that_yaml_may_have_changed_is_refused(written: object) -> None:
    """YAML reads 1.10 as 1.1 and yes as true: guessing what was meant would serve another version."""
    with pytest.raises(ValidationError, match="version"):
        ModelSpec.model_validate({"model": "m", "version": written})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modle", "m"),
        ("task", "dream"),
        ("engine", "tgi"),
        ("dtype", "int4"),
        ("source", "  "),
        ("limits", {"max_num_seqs": 0}),
        ("limits", {"max_model_len": 0}),
        ("limits", {"max_batch_tokens": 15}),
        ("limits", {"batch_wait_s": -1}),
        ("limits", {"page_size": 3}),
        ("limits", {"max_seqs": 8}),
    ],
)
def test_what_is_not_understood_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        ModelSpec.model_validate({"model": "m", field: value})


def test_spaces_around_a_source_are_dropped() -> None:
    assert ModelSpec(model="m", source=" hf:org/name@abc ").source == "hf:org/name@abc"
