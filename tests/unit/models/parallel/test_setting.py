from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from models.parallel.layout import Degree
from models.parallel.setting import GivenDegree, Parallel

SETTING: TypeAdapter[Parallel] = TypeAdapter(Parallel)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("off", "off"),
        (False, "off"),
        ("auto", "auto"),
        ({"tensor": 3}, GivenDegree(tensor=3)),
        ({"pipeline": 2}, GivenDegree(pipeline=2)),
        ({}, GivenDegree()),
    ],
)
def test_what_an_operator_writes(written: object, read: object) -> None:
    assert SETTING.validate_python(written) == read


@pytest.mark.parametrize("written", [True, 2, "on", {"tensor": 0}, {"pipeline": -1}, {"data": 2}])
def test_anything_else_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        SETTING.validate_python(written)


def test_a_given_degree() -> None:
    assert GivenDegree(tensor=2, pipeline=3).degree == Degree(2, 3)
