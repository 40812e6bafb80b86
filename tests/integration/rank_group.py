"""The ranks of a group as processes of this machine, without Ray."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar

import torch.distributed as dist

from models.engines.base import EngineSettings, GroupLeader
from models.engines.group import Rank, make_follower
from models.engines.group_leader import make_leader
from models.manifest import Manifest
from models.parallel.layout import GroupLayout
from models.parallel.pulse import ProgressCounter, Pulse
from models.parallel.rendezvous import Meeting, MeetingPoint, Member, join_group, leave_group
from models.progress import NoProgress

T = TypeVar("T")

_HOST = "127.0.0.1"
_JOIN_S = 120.0
_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Files:
    """A stored model, and within which limits it is served."""

    folder: Path
    manifest: Manifest
    settings: EngineSettings


@dataclass(frozen=True)
class Led:
    """What the work of the leader is given: its engine, how far its rank is, and the processes of all ranks."""

    engine: Any
    pulse: ProgressCounter
    pids: list[int]


@dataclass(frozen=True)
class Ended:
    """What the leader's work gave, the error that it or the end met, and how the others were when they ended."""

    value: Any
    error: Exception | None
    followers: dict[int, Pulse]
    exit_codes: list[int | None]


def run_group(files: Files, layout: GroupLayout, work: Callable[[Led], T]) -> Ended:
    """Start the ranks, let the leader do ``work``, close its engine, and wait for all to end."""
    context = _context()
    results: Queue[tuple[int, Any, Exception | None]] = context.Queue()
    point = MeetingPoint(_HOST)
    ranks = [
        context.Process(target=_rank, args=(files, layout, number, point.meeting, work, results), daemon=True)
        for number in range(layout.num_ranks)
    ]
    for rank in ranks:
        rank.start()
    try:
        return _ended(results, ranks)
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()
        point.close()


def _context() -> ForkServerContext:
    """New processes that have imported what they need, and nothing of this one's state."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.engines.group_leader", "models.engines.group_embedding"])
    return context


def _ended(results: Queue[tuple[int, Any, Exception | None]], ranks: list[ForkServerProcess]) -> Ended:
    try:
        found = [results.get(timeout=_TIMEOUT_S)]
    except Empty as none:
        raise AssertionError(f"the group has not ended: {[rank.exitcode for rank in ranks]}") from none
    for rank in ranks:
        rank.join(_TIMEOUT_S)
    while not results.empty():
        found.append(results.get())
    by_rank = {number: (value, error) for number, value, error in found}
    value, error = by_rank.pop(0)
    followers = {number: pulse for number, (pulse, _) in by_rank.items()}
    return Ended(value, error, followers, [rank.exitcode for rank in ranks])


def _rank(
    files: Files,
    layout: GroupLayout,
    number: int,
    meeting: Meeting,
    work: Callable[[Led], object],
    results: Queue[tuple[int, Any, Exception | None]],
) -> None:
    join_group(meeting, Member(number, layout.num_ranks, _HOST), "gloo", _JOIN_S, os.environ)
    pids = [0] * layout.num_ranks
    dist.all_gather_object(pids, os.getpid())
    rank = Rank(files.folder, files.manifest, files.settings, layout, number)
    value: object = None
    try:
        if number == 0:
            engine, pulse = _leader(rank)
            with _closing(engine):
                value = work(Led(engine, pulse, pids))
        else:
            value = _follow(rank)
    except Exception as error:  # noqa: BLE001  the test says which one it expects
        results.put((number, value, error))
    else:
        results.put((number, value, None))
    leave_group()


def _leader(rank: Rank) -> tuple[GroupLeader, ProgressCounter]:
    pulse = ProgressCounter()
    return make_leader(rank, NoProgress(), pulse), pulse


@contextmanager
def _closing(engine: GroupLeader) -> Iterator[None]:
    try:
        yield
    finally:
        engine.close()
        engine.close()  # a second time changes nothing


def _follow(rank: Rank) -> Pulse:
    pulse = ProgressCounter()
    make_follower(rank, NoProgress(), pulse).run()
    return pulse.snapshot()
