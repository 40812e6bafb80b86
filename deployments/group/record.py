"""What became of the groups of an application, kept in Ray's own store, which outlives their processes.

A group writes that it is there, and what it failed of; one that ends in order takes its record away. So the next
one knows why it was started, and routers can say it while it starts.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError
from ray.experimental import internal_kv

logger = logging.getLogger("ray.serve")

_NAMESPACE = b"stowage"
_PREFIX = "group/"
# Of one application, the newest; older ones go when another one is written.
_MAX_KEPT = 50


class FailureKind(StrEnum):
    """How a group came to its end."""

    DIED = "died"
    STALLED = "stalled"
    OUT_OF_MEMORY = "out_of_memory"
    OVER_BUDGET = "over_budget"
    ERROR = "error"


# As torch and Python call it; on CPUs torch raises a plain RuntimeError, which only says so.
_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")
_OUT_OF_MEMORY_ON_CPU = "DefaultCPUAllocator: can't allocate memory"


def kind_of(error: BaseException | None) -> FailureKind:
    """Of what a rank has raised: by itself, or by what that came from, as far as that is known or in its text."""
    raised = [error, error.__cause__ if error else None]
    return FailureKind.OUT_OF_MEMORY if any(map(_is_out_of_memory, raised)) else FailureKind.ERROR


def _is_out_of_memory(error: BaseException | None) -> bool:
    return type(error).__name__ in _OUT_OF_MEMORY or _OUT_OF_MEMORY_ON_CPU in str(error)


@dataclass(frozen=True, slots=True)
class GroupFailure:
    """``cause`` names rank, node and what happened."""

    kind: FailureKind
    cause: str
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class _Record:
    """One group. ``failure`` is None while it is there; it is ``overcome`` once another group serves.

    One that never ``served`` is told of by Serve itself, or was stopped on purpose while it started. One that is
    ``leaving`` was asked to end.
    """

    started_unix_s: float
    served: bool = False
    failure: GroupFailure | None = None
    overcome: bool = False
    leaving: bool = False


_RECORD = TypeAdapter(_Record)

_SILENT_END = "rank 0 ended without a word: it was killed, or its node is gone"


class GroupRecords:
    """Of the groups of one application. The replica of a group is known by Serve's id of it. RayError."""

    def __init__(self, application: str) -> None:
        self._prefix = f"{_PREFIX}{application}/"

    def open(self, replica: str) -> None:
        """The group starts."""
        self._put(replica, _Record(time.time()))

    def fail(self, replica: str, failure: GroupFailure) -> None:
        """It has failed; the first word about it is kept."""
        record = self._all().get(replica)
        if record is not None and record.failure is None:
            self._put(replica, replace(record, failure=failure))

    def serve(self, replica: str) -> None:
        """It serves: what others have failed of before is past."""
        for each, record in self._all().items():
            if each == replica:
                self._put(each, replace(record, served=True))
            elif record.failure is not None and not record.overcome:
                self._put(each, replace(record, overcome=True))

    def leave(self, replica: str) -> None:
        """Serve has asked it to end; it need not come to say that it has."""
        record = self._all().get(replica)
        if record is not None and not record.leaving:
            self._put(replica, replace(record, leaving=True))

    def close(self, replica: str) -> None:
        """It has ended in order."""
        internal_kv._internal_kv_del(self._key(replica), namespace=_NAMESPACE)

    def settle(self, is_there: Callable[[str], bool]) -> None:
        """Count those as failed that are gone without an end, by their replicas; forget the oldest failures.

        When one of them went is not known: it counts as of its start, so that what another has told is newer.
        """
        for replica, record in self._all().items():
            if record.failure is not None or is_there(replica):
                continue
            if record.served and not record.leaving:
                self.fail(replica, GroupFailure(FailureKind.DIED, _SILENT_END, record.started_unix_s))
            else:
                self.close(replica)
        failed = [(record.started_unix_s, replica) for replica, record in self._all().items() if record.failure]
        for _, replica in sorted(failed)[:-_MAX_KEPT]:
            self.close(replica)

    def last_failure(self) -> GroupFailure | None:
        """The newest since a group has last begun to serve, if there is one."""
        failures = (record.failure for record in self._all().values() if record.failure and not record.overcome)
        return max(failures, key=lambda failure: failure.at_unix_s, default=None)

    def counts(self) -> Mapping[FailureKind, int]:
        """How many groups have failed of what."""
        return Counter(record.failure.kind for record in self._all().values() if record.failure)

    def _all(self) -> dict[str, _Record]:
        keys: list[bytes] = internal_kv._internal_kv_list(self._prefix, namespace=_NAMESPACE)
        found = {key.decode(): internal_kv._internal_kv_get(key, namespace=_NAMESPACE) for key in keys}
        records = {key.removeprefix(self._prefix): _read(value) for key, value in found.items() if value}
        return {replica: record for replica, record in records.items() if record is not None}

    def _put(self, replica: str, record: _Record) -> None:
        value = _RECORD.dump_json(record)
        internal_kv._internal_kv_put(self._key(replica), value, overwrite=True, namespace=_NAMESPACE)

    def _key(self, replica: str) -> bytes:
        return f"{self._prefix}{replica}".encode()


def _read(value: bytes) -> _Record | None:
    """None for the record of another release."""
    try:
        return _RECORD.validate_json(value)
    except ValidationError:
        logger.warning("A record of a group cannot be read, and does not count: %s", value[:200])
        return None
