"""The processes of a model under test, seen from the benchmark: started together, asked, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TypeVar

from benchmarks.parallel_orders import Answered, Look, Order, Setup, Spent, Window
from benchmarks.parallel_rank import HOST
from benchmarks.process_tree import tree_cpu_s
from benchmarks.server import ROOT
from deployments.args import ModelArgs
from models.engines.heap import ONE_HEAP
from models.errors import StowageError
from models.parallel.layout import Degree
from models.parallel.rendezvous import MeetingPoint

T = TypeVar("T")

_END_S = 30
_ENDED = "a process of the model under test has ended"


class Ranks:
    """One engine and all its processes, rank 0 first. They wait, and use no processor, until they are asked."""

    def __init__(self, links: Sequence[Connection], degree: Degree) -> None:
        self.degree = degree
        self._links = links
        self.pids = [_received(link, int) for link in links]

    def load(self, window: Window) -> Answered:
        """Blocks until all its answers are there."""
        return _ask(self._links[0], window, Answered)

    def look(self) -> list[Spent]:
        """What each rank has done since the look before."""
        return [_ask(link, Look(), Spent) for link in self._links]

    def cpu_s(self) -> float:
        """CPU-seconds of all processes so far."""
        return sum(map(tree_cpu_s, self.pids))


@contextmanager
def running(args: ModelArgs, device: str = "cpu") -> Iterator[Ranks]:
    """Start all ranks of ``args``, wait until they have loaded, and end them in order.

    StowageError when one ends early; it prints why.
    """
    degree = args.least_degree
    num_ranks = degree.num_ranks
    with ExitStack() as stack:
        point = MeetingPoint(HOST) if num_ranks > 1 else None
        meeting = point.meeting if point else None
        links = [stack.enter_context(_started(Setup(args, rank, meeting, device))) for rank in range(num_ranks)]
        yield Ranks(links, degree)
        links[0].close()  # the others take their leave from rank 0
        if point is not None:
            point.close()


@contextmanager
def _started(setup: Setup) -> Iterator[Connection]:
    own, theirs = Pipe()
    threads = {"OMP_NUM_THREADS": str(setup.args.num_threads)}
    environment = {**os.environ, **ONE_HEAP, **threads, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.parallel_rank", str(theirs.fileno())]
    with subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            with own:
                own.send(setup)
                yield own
            process.wait(_END_S)
        finally:
            process.kill()


def _ask(link: Connection, order: Order, kind: type[T]) -> T:
    try:
        link.send(order)
    except ConnectionError as error:
        raise StowageError(_ENDED) from error
    return _received(link, kind)


def _received(link: Connection, kind: type[T]) -> T:
    try:
        answer = link.recv()
    except (EOFError, ConnectionError) as error:
        raise StowageError(_ENDED) from error
    if not isinstance(answer, kind):
        raise TypeError(f"{answer} is no {kind.__name__}")
    return answer
