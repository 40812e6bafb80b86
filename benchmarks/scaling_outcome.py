"""What a simulated run came to: who was served in time, at what cost, and when it had recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scaling_engine import Job

_WINDOW_S = 10.0
_SHARE = 0.95
_CALM_S = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """A request is served in time if its first token comes within ``first_s``, and ``prompt_token_s`` more for
    each token of its prompt, and the others ``token_s`` apart on the average."""

    first_s: float
    prompt_token_s: float
    token_s: float

    def first_is_met(self, job: Job) -> bool:
        return job.first_token - job.arrived <= self.first_s + job.prompt_tokens * self.prompt_token_s

    def is_met(self, job: Job) -> bool:
        """False also of one that never ended."""
        rest = job.output_tokens - 1
        return self.first_is_met(job) and job.ended - job.first_token <= rest * self.token_s + 1e-9


def attainment(jobs: Sequence[Job], target: Target) -> float:
    """The share of the requests that were served in time."""
    return sum(map(target.is_met, jobs)) / len(jobs)


def recovery_s(jobs: Sequence[Job], target: Target, change_s: float) -> float:
    """How long after ``change_s`` the first tokens are in time again.

    Of the requests of each 10 seconds, of which a new one begins every second, 95% are to have their first token
    in time. It is the first second from which on that holds for a minute of such seconds; 0 where it always does.
    """
    came = [job for job in jobs if job.arrived >= change_s]
    num_windows = int(came[-1].arrived - change_s) + 1
    all_of, late = ([0] * num_windows for _ in range(2))
    for job in came:
        last = int(job.arrived - change_s)
        for start in range(max(0, last - int(_WINDOW_S) + 1), last + 1):
            all_of[start] += 1
            late[start] += not target.first_is_met(job)
    failed = [number for number in range(num_windows) if late[number] > (1 - _SHARE) * all_of[number]]
    recovered = 0.0
    for number in failed:
        if number >= recovered + _CALM_S:
            break
        recovered = number + 1.0
    return recovered
