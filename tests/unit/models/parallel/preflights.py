"""Ranks that check their nodes before they start as a group, each in a process of its own."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from models.local_store import StoredModel
from models.manifest import FileEntry
from models.parallel.device_state import DeviceState
from models.parallel.file_check import KnownHashes
from models.parallel.greeting import Endpoint
from models.parallel.preflight import Needs, Preflight, Seat, Surroundings
from models.parallel.report import RankReport
from models.progress import NoProgress
from models.types import VersionId
from tests.unit.models.store_content import manifest_of

TOKEN = b"of this group"
CHECK_S = 20.0
VERSIONS = {"python": "3.11.7", "torch": "2.13.0"}
ROOM = DeviceState("cpu", "cpu", free_bytes=1 << 30, held_bytes=0)


@dataclass(frozen=True)
class Rank:
    """One of them, and what its node is like."""

    rank: int
    needs: Needs
    hashes: Path
    versions: Mapping[str, str]
    check_s: float = CHECK_S

    @property
    def node(self) -> str:
        return f"node-{self.rank}"

    def open(self) -> Preflight:
        surroundings = Surroundings(lambda: ROOM, self.versions, KnownHashes(self.hashes, NoProgress()))
        return Preflight(Seat(self.rank, self.node, "127.0.0.1"), TOKEN, self.check_s, surroundings)


class Ranks:
    """Processes of ``ranks``, which end with the context."""

    def __init__(self, ranks: Sequence[Rank]) -> None:
        self._ranks = ranks
        self.nodes = {rank.rank: rank.node for rank in ranks}

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        pairs = [context.Pipe() for _ in self._ranks]
        self._ends = [ours for ours, _ in pairs]
        self._processes = [
            context.Process(target=_check, args=(rank, theirs), daemon=True)
            for rank, (_, theirs) in zip(self._ranks, pairs, strict=True)
        ]
        for process in self._processes:
            process.start()
        self.endpoints: list[Endpoint] = [end.recv() for end in self._ends]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, end in zip(self._processes, self._ends, strict=True):
            process.kill()
            process.join()
            end.close()

    def freeze(self, rank: int) -> None:
        """Let it hang."""
        pid = self._processes[rank].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    def reports(self, within_s: Mapping[int, float] = {}) -> list[RankReport]:
        """Of those that report in time: within a minute, or what is said of a rank."""
        for end, own in zip(self._ends, self.endpoints, strict=True):
            end.send([endpoint for endpoint in self.endpoints if endpoint != own])
        return [end.recv() for rank, end in enumerate(self._ends) if end.poll(within_s.get(rank, 60.0))]


def stored(folder: Path) -> StoredModel:
    """The version whose files those are that lie in ``folder`` now."""
    files = tuple(entry_of(path) for path in sorted(folder.iterdir()))
    return StoredModel(manifest_of(VersionId("tiny", "1")).model_copy(update={"files": files}), folder)


def entry_of(path: Path) -> FileEntry:
    content = path.read_bytes()
    return FileEntry(path=path.name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _check(rank: Rank, end: Connection) -> None:
    preflight = rank.open()
    end.send(preflight.endpoint)
    end.send(preflight.report(rank.needs, end.recv()))
    end.recv()
