from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DoesNotFitError
from models.placement.slots import RAY_UNITS, booked_bytes, gpu_fraction, gpu_units
from tests.unit.models.clusters import BIG, GIB


def test_a_fraction_is_rounded_up_to_what_ray_can_count() -> None:
    tenth = BIG.usable_bytes // 10
    assert gpu_fraction(tenth, BIG) == 0.1
    assert gpu_fraction(tenth + 1, BIG) == 0.1001


@given(st.integers(1, BIG.usable_bytes))
def test_the_fraction_of_a_gpu_holds_the_bytes(device_bytes: int) -> None:
    fraction = gpu_fraction(device_bytes, BIG)
    units = round(fraction * RAY_UNITS)
    assert units / RAY_UNITS == fraction
    assert units * BIG.usable_bytes >= device_bytes * RAY_UNITS
    assert (units - 1) * BIG.usable_bytes < device_bytes * RAY_UNITS


def test_a_whole_gpu_is_the_most() -> None:
    assert gpu_fraction(BIG.usable_bytes, BIG) == 1
    assert gpu_units(BIG.usable_bytes + 1, BIG) == RAY_UNITS + 1
    with pytest.raises(DoesNotFitError, match=str(BIG.usable_bytes + 1)):
        gpu_fraction(BIG.usable_bytes + 1, BIG)


def test_replicas_on_one_node_book_what_they_share_once() -> None:
    assert booked_bytes(1 * GIB, 6 * GIB, ["a", "a", "a"]) == 3 * GIB


def test_replicas_on_nodes_of_their_own_book_it_each() -> None:
    assert booked_bytes(1 * GIB, 6 * GIB, ["a", "b"]) == 7 * GIB
    assert booked_bytes(1 * GIB, 6 * GIB, []) == 7 * GIB


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.lists(st.sampled_from("abc"), min_size=1, max_size=9))
def test_no_node_books_more_than_is_planned(own: int, shared: int, places: list[str]) -> None:
    booked = booked_bytes(own, shared, places)
    fullest = max(Counter(places).values())
    assert booked >= own
    assert all(count * booked <= count * own + shared for count in Counter(places).values())
    assert fullest * booked > fullest * own + shared - fullest
