"""What holds a wish back."""

from __future__ import annotations

from deployments.scaling.brakes import remember, stabilise
from deployments.scaling.decision import Cause


def test_without_a_window_more_is_there_at_once() -> None:
    wishes = remember(remember((), 100, 0, 60), 100.5, 3, 60)
    braked = stabilise(wishes, 100.5, target=0, up_window_s=0, down_window_s=60)
    assert (braked.replicas, braked.cause) == (3, Cause.LOAD)


def test_with_one_it_has_to_last() -> None:
    wishes = remember(remember((), 100, 0, 60), 101, 3, 60)
    assert stabilise(wishes, 105, target=0, up_window_s=5, down_window_s=60).replicas == 0
    assert stabilise(wishes, 107, target=0, up_window_s=5, down_window_s=60).replicas == 3
