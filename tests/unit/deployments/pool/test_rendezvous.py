"""Which replica serves a model: the same for everybody, few for each model, more for a hot one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from deployments.pool.rendezvous import choose, rank

NAMES = st.text("abcdef0123456789", min_size=1, max_size=8)
REPLICAS = st.lists(NAMES, min_size=1, max_size=8, unique=True)


@given(NAMES, REPLICAS, st.randoms())
def test_the_order_does_not_depend_on_who_asks(model: str, replicas: list[str], random: object) -> None:
    shuffled = sorted(replicas, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert rank(model, replicas) == rank(model, shuffled)


@given(NAMES, REPLICAS)
def test_a_replica_that_goes_moves_only_its_own_models(model: str, replicas: list[str]) -> None:
    ranked = rank(model, replicas)
    gone = ranked[-1]
    left = [replica for replica in replicas if replica != gone]
    assert rank(model, left) == ranked[:-1]


def test_many_models_spread_evenly() -> None:
    first = Counter(rank(f"m{i}@1", ["r1", "r2", "r3", "r4"])[0] for i in range(1000))
    assert all(200 < count < 300 for count in first.values())


def test_a_quiet_model_stays_on_its_first_replica() -> None:
    assert choose(["a", "b"], {"a": 7, "b": 0}, spread_above=8) == ["a", "b"]


def test_a_replica_with_more_than_its_share_is_passed_over() -> None:
    assert choose(["a", "b"], {"a": 8, "b": 0}, spread_above=8) == ["b", "a"]
    assert choose(["a", "b"], {"a": 100, "b": 90}, spread_above=8) == ["a", "b"]


@given(REPLICAS, st.dictionaries(NAMES, st.integers(0, 1000)), st.integers(1, 100))
def test_some_replica_may_always_take_one_more(
    replicas: list[str], loads: dict[str, int], spread_above: int
) -> None:
    """Bounded loads: while every request goes to the first choice, none exceeds its bound."""
    chosen = choose(replicas, loads, spread_above)
    assert sorted(chosen) == sorted(replicas)
    lightest = min(loads.get(replica, 0) for replica in replicas)
    total = sum(loads.get(replica, 0) for replica in replicas) + 1
    first = loads.get(chosen[0], 0)
    assert first < spread_above or first <= 1.25 * total / len(replicas) or first == lightest


def test_no_replica_no_choice() -> None:
    assert choose([], {}, spread_above=8) == []
