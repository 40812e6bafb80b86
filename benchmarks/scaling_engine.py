"""A replica that batches continuously, step by step but without computing: when each token would come.

Steps in which nothing is read and nobody comes or goes are taken together, so an hour of a busy replica takes a
second or two.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EngineModel:
    """What one replica holds, and how long a step takes.

    A step in which ``n`` sequences get a token each and ``p`` prompt tokens are read takes ``step_s + n *
    sequence_s + p * token_s``, and n + p is at most ``max_batch_tokens``; prompts are read in chunks, in the order
    in which they came. A sequence begins when one of ``max_num_seqs`` places is free and the KV cache has room for
    all that it will hold, of ``max_tokens``.
    """

    max_num_seqs: int
    max_tokens: int
    max_batch_tokens: int
    step_s: float
    sequence_s: float
    token_s: float

    def step_time_s(self, num_sequences: int, prompt_tokens: int = 0) -> float:
        return self.step_s + num_sequences * self.sequence_s + prompt_tokens * self.token_s

    def alone_s(self, prompt_tokens: int) -> float:
        """The time to the first token in an idle engine."""
        return math.ceil(prompt_tokens / self.max_batch_tokens) * self.step_s + prompt_tokens * self.token_s


@dataclass(slots=True)
class Job:
    """One request and what became of it; times in seconds of the simulation."""

    arrived: float
    prompt_tokens: int
    output_tokens: int
    entered: float = math.nan  # the replica
    first_token: float = math.nan
    ended: float = math.nan

    @property
    def num_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(slots=True)
class _Prompt:
    job: Job
    remaining: int


@dataclass(slots=True)
class SimulatedEngine:
    """Call ``add`` when a request comes, and ``advance`` at ``next_event``: when that is due, something ends.

    ``boundary`` is the end of the step under way; ``count`` the steps so far, each of which gave every decoding
    sequence a token.
    """

    model: EngineModel
    boundary: float = 0.0
    count: int = 0
    waiting: deque[Job] = field(default_factory=deque)
    _reading: deque[_Prompt] = field(default_factory=deque)
    _decoding: list[tuple[int, int, Job]] = field(default_factory=list)
    _chunk: int = 0
    _stepping: bool = False
    _promised: int = 0
    _begun: int = 0
    _sum_prompts: int = 0
    _sum_starts: int = 0

    @property
    def num_running(self) -> int:
        return len(self._reading) + len(self._decoding)

    @property
    def num_jobs(self) -> int:
        return self.num_running + len(self.waiting)

    @property
    def held_tokens(self) -> int:
        """Of the KV cache, by prompts as soon as they begin and by what has been generated."""
        return self._sum_prompts + len(self._decoding) * self.count - self._sum_starts

    @property
    def next_event(self) -> float:
        """When a step ends after which something is different; infinite when idle."""
        if self._stepping or self._reading:
            return self.boundary
        if self._decoding:
            steps = self._decoding[0][0] - self.count
            return self.boundary + steps * self.model.step_time_s(len(self._decoding))
        return math.inf

    def add(self, job: Job, now: float) -> None:
        """It waits until the step under way has ended."""
        job.entered = now
        self.waiting.append(job)
        if self._stepping:
            return
        if self._decoding:
            step_s = self.model.step_time_s(len(self._decoding))
            steps = max(0, math.ceil((now - self.boundary) / step_s - 1e-9))
            self.count += steps
            self.boundary += steps * step_s
        else:
            self.boundary = now
        self._stepping = True

    def advance(self) -> list[Job]:
        """Go on to ``next_event``; returns what has ended."""
        if not self._stepping:
            now = self.next_event
            self.count = self._decoding[0][0]
            self.boundary = now
        ended = self._finish_reading(self.boundary)
        while self._decoding and self._decoding[0][0] <= self.count:
            end, _, job = heapq.heappop(self._decoding)
            self._sum_starts -= end - job.output_tokens + 1
            ended.append(self._leave(job, self.boundary))
        self._admit()
        self._begin_step()
        return ended

    def _finish_reading(self, now: float) -> list[Job]:
        ended, left = [], self._chunk
        while left and self._reading:
            prompt = self._reading[0]
            read = min(left, prompt.remaining)
            left -= read
            prompt.remaining -= read
            if prompt.remaining:
                break
            job = prompt.job
            self._reading.popleft()
            job.first_token = now
            if job.output_tokens <= 1:
                ended.append(self._leave(job, now))
            else:
                self._begun += 1
                self._sum_starts += self.count
                heapq.heappush(self._decoding, (self.count + job.output_tokens - 1, self._begun, job))
        self._chunk = 0
        return ended

    def _leave(self, job: Job, now: float) -> Job:
        job.ended = now
        self._promised -= job.num_tokens
        self._sum_prompts -= job.prompt_tokens
        return job

    def _admit(self) -> None:
        while self.waiting and self.num_running < self.model.max_num_seqs:
            job = self.waiting[0]
            if self._promised + job.num_tokens > self.model.max_tokens and self.num_running:
                return
            self.waiting.popleft()
            self._promised += job.num_tokens
            self._sum_prompts += job.prompt_tokens
            self._reading.append(_Prompt(job, job.prompt_tokens))

    def _begin_step(self) -> None:
        """A step that reads is simulated by itself."""
        self._stepping = bool(self._reading)
        if not self._stepping:
            return
        num_decoding = len(self._decoding)
        room = max(1, self.model.max_batch_tokens - num_decoding)
        to_read = 0
        for prompt in self._reading:
            to_read += prompt.remaining
            if to_read >= room:
                break
        self._chunk = min(room, to_read)
        self.boundary += self.model.step_time_s(num_decoding, self._chunk)
        self.count += 1
