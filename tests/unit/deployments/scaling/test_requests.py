"""The mean request and the mean replica."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.scaling.load import Load, RouterLoad, TokenUse
from deployments.scaling.memory import Memory
from deployments.scaling.offered import offered
from deployments.scaling.requests import Requests, requests_of
from tests.unit.deployments.scaling.loads import NOON, generating, load, settings

NEW = Memory()


def requests(seen: Load, memory: Memory = NEW) -> tuple[Requests, Memory]:
    summed = offered(seen, 15.0)
    assert summed is not None
    mean, memory = requests_of(seen, summed, settings(), memory)
    return mean, replace(memory, at=seen.now)


def test_waiting_in_the_replica_is_no_time_in_the_engine() -> None:
    alone, _ = requests(load(generating(num_running=8, num_waiting=0)))
    queued, _ = requests(load(generating(num_running=8, num_waiting=8)))
    assert (alone.bare_s, queued.bare_s) == (4.0, 2.0)


def test_the_reading_of_other_prompts_is_none_of_a_requests_own() -> None:
    use = TokenUse(4000, 40_000, prompt_tokens=1000.0, read_tokens_per_s=5000.0)
    mean, _ = requests(load(generating(finished_per_s=2.0, service_s=4.0, tokens=use)))
    assert mean.prompt_s == 0.2
    assert mean.bare_s == pytest.approx(4.0 * (1 - 2.0 * 0.2))


def test_more_ended_in_a_replica_count_for_more() -> None:
    mean, _ = requests(
        load(generating(finished_per_s=3.0, service_s=2.0), generating("b", finished_per_s=1.0, service_s=6.0))
    )
    assert mean.bare_s == pytest.approx(3.0)


def test_what_nobody_tells_is_remembered() -> None:
    _, memory = requests(load(generating()))
    silent = load(generating(num_running=0, finished_per_s=0.0, service_s=None, tokens=None), now=NOON + 60)
    mean, _ = requests(silent, memory)
    assert (mean.bare_s, mean.tokens) == (4.0, 500.0)
    assert mean.max_tokens == 40_000  # by the settings


def test_nothing_is_known_before_the_first_request_has_ended() -> None:
    mean, _ = requests(load(routers=RouterLoad(age_s=0.0, num_waiting=3)))
    assert (mean.bare_s, mean.tokens, mean.served_per_s, mean.places) == (None, None, 0.0, 16)


def test_a_faster_reader_counts_at_once_and_a_slower_one_slowly() -> None:
    def reading(speed: float) -> TokenUse:
        return TokenUse(4000, 40_000, prompt_tokens=1000.0, read_tokens_per_s=speed)

    _, memory = requests(load(generating(tokens=reading(5000.0))))
    faster, memory = requests(load(generating(tokens=reading(6000.0)), now=NOON + 1), memory)
    slower, _ = requests(load(generating(tokens=reading(1000.0)), now=NOON + 61), memory)
    assert faster.read_tokens_per_s == 6000.0
    assert slower.read_tokens_per_s == pytest.approx(5524, abs=1)


def test_the_cache_may_hold_fewer_than_there_are_places() -> None:
    mean = Requests(16, 8000.0, 4.0, 1000.0, None, None)
    assert mean.places == 8
    assert mean.served_per_s == 2.0
