"""A version on a simulated cluster: a router with its gate, replicas that start, serve, drain and end."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from benchmarks.scaling_engine import EngineModel, Job, SimulatedEngine
from benchmarks.scaling_traces import Trace


@dataclass(frozen=True, slots=True)
class ClusterModel:
    """How replicas come, and what the router knows.

    ``cold_start_s``: from the decision to a replica that serves, where there is a node for it; ``node_s`` more
    where one has to be provided, which then stays for ``node_idle_s`` after its replica has ended. There are
    ``num_nodes`` at first, one replica each. The router lets ``ahead`` times the places of the replicas through,
    and sees every ``poll_s`` how many there are; a replica then is the less busy one of two that are drawn.
    ``decide_s``: between decisions.
    """

    engine: EngineModel
    cold_start_s: float
    max_replicas: int
    node_s: float = 0.0
    node_idle_s: float = 300.0
    num_nodes: int = 1_000_000
    ahead: float = 1.25
    poll_s: float = 1.0
    decide_s: float = 0.5
    seed: int = 7


@dataclass(eq=False, slots=True)
class Replica:
    """``ended`` is infinite as long as it takes resources; ``ready`` until it has started."""

    number: int
    ordered: float
    engine: SimulatedEngine
    ready: float = math.inf
    ended: float = math.inf
    is_draining: bool = False
    finished: deque[Job] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Moment:
    """The replicas from ``at`` on: aimed at, serving, and taking resources."""

    at: float
    target: int
    num_ready: int
    num_taken: int


class Policy(Protocol):
    """Looks at the cluster every ``decide_s``, and says how many replicas there are to be."""

    def target(self, cluster: Cluster) -> int: ...


class Cluster:
    """Runs a trace to the end. What a policy may look at is public."""

    def __init__(self, model: ClusterModel, trace: Trace, num_replicas: int) -> None:
        self.model = model
        self.now = 0.0
        self.desired = num_replicas
        self.replicas: list[Replica] = []
        self.queue: deque[Job] = deque()
        self.jobs = [Job(each.at, each.prompt_tokens, each.output_tokens) for each in trace.requests]
        self.num_arrived = 0
        self.arrived_tokens = 0
        self.num_under_way = 0
        self.starts: list[tuple[float, float]] = []  # when each replica was or will be ready, and what it took
        self.moments: list[Moment] = []
        self._places = 0
        self._idle_nodes: list[float] = []
        self._num_nodes = model.num_nodes
        self._numbers = count()
        self._chance = random.Random(model.seed)  # noqa: S311
        self._events: list[tuple[float, int, Replica]] = []
        self._order = count()
        for _ in range(num_replicas):
            self._order_replica()
        for replica in self.replicas:
            replica.ready = 0.0
        self.starts.clear()
        self._follow()

    @property
    def ready(self) -> list[Replica]:
        """Those that take requests."""
        return [each for each in self.replicas if each.ready <= self.now and not each.is_draining]

    @property
    def living(self) -> list[Replica]:
        """Those that are meant to stay, ready or starting."""
        return [each for each in self.replicas if not each.is_draining]

    def run(self, policy: Policy, until_s: float) -> None:
        """Decide until ``until_s``, and serve what has come by then."""
        polls = 0
        for number in range(math.ceil(until_s / self.model.decide_s) + 1):
            tick = number * self.model.decide_s
            self._serve_until(tick)
            if tick >= polls * self.model.poll_s:
                polls += 1
                self._look()
            if tick <= until_s:
                self._follow_target(policy.target(self))
        self._finish(until_s)

    def _finish(self, until_s: float) -> None:
        """What still waits is served by whoever is there, up to an hour later."""
        tick = until_s
        while (self.queue or self.num_under_way) and tick < until_s + 3600:
            tick += self.model.poll_s
            self._serve_until(tick)
            self._look()

    def _serve_until(self, end: float) -> None:
        """Arrivals and the ends of steps, in their order."""
        while True:
            arrival = self.jobs[self.num_arrived].arrived if self.num_arrived < len(self.jobs) else math.inf
            event = self._events[0][0] if self._events else math.inf
            if min(arrival, event) > end:
                break
            if arrival <= event:
                self.now = arrival
                self._arrive(self.jobs[self.num_arrived])
            else:
                self._step(*heapq.heappop(self._events))
        self.now = end

    def _arrive(self, job: Job) -> None:
        self.num_arrived += 1
        self.arrived_tokens += job.prompt_tokens
        self.queue.append(job)
        self._dispatch()

    def _step(self, at: float, _: int, replica: Replica) -> None:
        """Nothing, if it has been overtaken by another event of the replica."""
        if at != replica.engine.next_event:
            return
        self.now = at
        for job in replica.engine.advance():
            self.num_under_way -= 1
            replica.finished.append(job)
        self._schedule(replica)
        if replica.is_draining and not replica.engine.num_jobs:
            self._end(replica)
        self._dispatch()

    def _dispatch(self) -> None:
        while self.queue and self.num_under_way < self._places:
            ready = self.ready
            if not ready:
                return
            drawn = self._chance.sample(ready, 2) if len(ready) > 2 else ready
            replica = min(drawn, key=lambda each: each.engine.num_jobs)
            self.num_under_way += 1
            replica.engine.add(self.queue.popleft(), self.now)
            self._schedule(replica)

    def _schedule(self, replica: Replica) -> None:
        at = replica.engine.next_event
        if at < math.inf:
            heapq.heappush(self._events, (at, next(self._order), replica))

    def _look(self) -> None:
        """What the router sees of the replicas."""
        num_ready = len(self.ready)
        self._places = math.ceil(self.model.ahead * self.model.engine.max_num_seqs * num_ready)
        self._note()
        self._dispatch()

    def _follow_target(self, target: int) -> None:
        self.desired = max(0, min(self.model.max_replicas, target))
        self._follow()

    def _follow(self) -> None:
        living = self.living
        for _ in range(self.desired - len(living)):
            self._order_replica()
        # As Serve does, those go first that do not serve yet.
        surplus = sorted(living, key=lambda each: (each.ready, each.number), reverse=True)
        for replica in surplus[: max(0, len(living) - self.desired)]:
            replica.is_draining = True
            if not replica.engine.num_jobs:
                self._end(replica)
        self._note()

    def _order_replica(self) -> None:
        replica = Replica(next(self._numbers), self.now, SimulatedEngine(self.model.engine))
        self._idle_nodes = [freed for freed in self._idle_nodes if freed + self.model.node_idle_s > self.now]
        wait_s = self.model.cold_start_s * self._chance.uniform(0.9, 1.1)
        if self._idle_nodes:
            self._idle_nodes.pop()
        elif self._num_nodes > 0:
            self._num_nodes -= 1
        else:
            wait_s += self.model.node_s
        replica.ready = self.now + wait_s
        self.starts.append((replica.ready, wait_s))
        self.replicas.append(replica)

    def _end(self, replica: Replica) -> None:
        replica.ended = self.now
        self.replicas.remove(replica)
        self._idle_nodes.append(self.now)

    def _note(self) -> None:
        moment = Moment(self.now, self.desired, len(self.ready), len(self.replicas))
        if not self.moments or _changed(self.moments[-1], moment):
            self.moments.append(moment)


def _changed(last: Moment, new: Moment) -> bool:
    return (last.target, last.num_ready, last.num_taken) != (new.target, new.num_ready, new.num_taken)


def replica_seconds(moments: list[Moment], until_s: float) -> float:
    """For how long replicas took resources, all together: from their order to the end of their draining."""
    return sum(each.num_taken * (end - each.at) for each, end in _spans(moments, until_s))


def _spans(moments: list[Moment], until_s: float) -> Iterator[tuple[Moment, float]]:
    ends = [*(each.at for each in moments[1:]), until_s]
    return ((each, min(end, until_s)) for each, end in zip(moments, ends, strict=True) if each.at < until_s)
