"""Who was served in time, and since when."""

from __future__ import annotations

from benchmarks.scaling_cluster import Moment, replica_seconds
from benchmarks.scaling_engine import Job
from benchmarks.scaling_outcome import Target, attainment, recovery_s

TARGET = Target(first_s=2.0, prompt_token_s=0.01, token_s=0.1)


def job(arrived: float, first_s: float = 1.0, rest_s: float = 0.9) -> Job:
    return Job(arrived, 100, 10, arrived, arrived + first_s, arrived + first_s + rest_s)


def test_a_request_is_in_time_if_its_first_and_its_other_tokens_are() -> None:
    assert TARGET.is_met(job(0.0, first_s=3.0))
    assert not TARGET.is_met(job(0.0, first_s=3.1))
    assert not TARGET.is_met(job(0.0, rest_s=1.0))
    assert not TARGET.is_met(Job(0.0, 100, 10))
    assert attainment([job(0.0), job(1.0, rest_s=2.0)], TARGET) == 0.5


def test_recovery_is_when_nine_of_ten_and_more_are_in_time_again() -> None:
    jobs = [job(number / 10, first_s=9.0 if 100 <= number / 10 < 130 else 1.0) for number in range(3000)]
    assert recovery_s(jobs, TARGET, 100.0) == 30.0
    assert recovery_s(jobs, TARGET, 150.0) == 0.0


def test_what_fails_a_minute_later_is_something_else() -> None:
    late = {*range(1000, 1100), *range(2500, 2600)}
    jobs = [job(number / 10, first_s=9.0 if number in late else 1.0) for number in range(4000)]
    assert recovery_s(jobs, TARGET, 100.0) == 10.0


def test_replica_seconds_are_of_all_that_take_resources() -> None:
    moments = [Moment(0.0, 2, 2, 2), Moment(10.0, 1, 1, 2), Moment(15.0, 1, 1, 1), Moment(90.0, 5, 1, 5)]
    assert replica_seconds(moments, 20.0) == 20 + 10 + 5
