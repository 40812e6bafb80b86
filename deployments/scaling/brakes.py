"""What keeps the number of replicas from following every wish: bounds, steps, windows, idle time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from deployments.scaling.decision import Cause
from deployments.scaling.schedule import Window
from deployments.scaling.settings import ScalingSettings

Wishes: TypeAlias = tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Braked:
    """``replicas``, and what bound it; ``words`` is empty when nothing did."""

    replicas: int
    cause: Cause
    words: str = ""


def remember(wishes: Wishes, now: float, wish: int, window_s: float) -> Wishes:
    """The wishes of the last ``window_s`` and this one: the first of each run of equal ones is enough, with the
    one that was in force when the window began."""
    inside = [each for each in wishes if each[0] > now - window_s]
    before = [each for each in wishes if each[0] <= now - window_s]
    kept = [*before[-1:], *inside]
    if not kept or kept[-1][1] != wish:
        kept.append((now, wish))
    return tuple(kept)


def stabilise(wishes: Wishes, now: float, target: int, up_window_s: float, down_window_s: float) -> Braked:
    """More only when all wishes of ``up_window_s`` were for more, fewer only when all of ``down_window_s`` were
    for fewer: the least of the one, the most of the other, as Kubernetes' horizontal pod autoscaler has it."""
    wish = wishes[-1][1]
    lowest = min(_of_last(wishes, now, up_window_s))
    highest = max(_of_last(wishes, now, down_window_s))
    if wish > target:
        if lowest > target:
            return Braked(lowest, Cause.LOAD)
        return Braked(target, Cause.STABILISATION, f"{wish} are wanted, for less than {up_window_s:g} s so far")
    if highest >= wish and highest > wish and wish < target:
        kept = min(target, highest)
        since = max(at for at, each in wishes if each == highest)
        return Braked(
            kept, Cause.STABILISATION, f"{wish} would do, {highest} were wanted until {now - since:.0f} s ago"
        )
    return Braked(wish, Cause.LOAD)


def _of_last(wishes: Wishes, now: float, window_s: float) -> list[int]:
    """A wish is in force until the next one, and the newest one is."""
    earlier = [wish for (_, wish), (end, _) in pairwise(wishes) if end > now - window_s]
    return [*earlier, wishes[-1][1]]


def step(braked: Braked, target: int, max_step: int | None) -> Braked:
    """No more than ``max_step`` replicas at once are added."""
    if max_step is None or braked.replicas <= target + max_step:
        return braked
    words = f"{braked.replicas} are wanted, {max_step} at most are added at once"
    return Braked(target + max_step, Cause.STEP, words)


def bound(braked: Braked, settings: ScalingSettings, window: Window | None) -> Braked:
    """Within the bounds; the schedule's are above ``min_replicas`` and below ``max_replicas``."""
    least = settings.min_replicas
    if window is not None and window.replicas > max(least, braked.replicas):
        braked = Braked(window.replicas, Cause.SCHEDULE, f"the schedule has {window}")
    if braked.replicas < least:
        return Braked(least, Cause.MIN, f"min_replicas is {least}")
    if braked.replicas > settings.max_replicas:
        words = f"{braked.replicas} are wanted, max_replicas is {settings.max_replicas}"
        return Braked(settings.max_replicas, Cause.MAX, words)
    return braked
