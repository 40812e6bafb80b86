"""What each rank reports of its node before a group starts, and the leader's verdict. Plain values, and pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.errors import GroupError
from models.parallel.device_state import DeviceState
from models.parallel.stall import Stall

_GIB = 2**30


class Check(StrEnum):
    """What a rank looks at, in an operator's words."""

    ANSWER = "answer"
    DEVICE = "device"
    MEMORY = "memory"
    VERSIONS = "library versions"
    INTERCONNECT = "interconnect"
    FILES = "shard files"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; ``remedy`` is what to do where it failed, None where all is well."""

    check: Check
    detail: str
    remedy: str | None = None

    @property
    def is_ok(self) -> bool:
        return self.remedy is None

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}" + (f" ({self.remedy})" if self.remedy else "")


@dataclass(frozen=True, slots=True)
class RankReport:
    """What a rank found. ``device`` is None where it was not to be seen; ``budget_bytes`` of it are planned."""

    rank: int
    node: str
    budget_bytes: int
    versions: Mapping[str, str]
    device: DeviceState | None
    findings: tuple[Finding, ...]

    @property
    def missing_bytes(self) -> int:
        """What the rank has still to get of the device."""
        return max(0, self.budget_bytes - self.device.held_bytes) if self.device else 0


def judge(nodes: Mapping[int, str], reports: Sequence[RankReport], stall: Stall | None) -> None:
    """GroupError with all that hinders the group, by rank; none means that it can start.

    ``nodes``: where each rank of the group was placed. ``stall``: how it was when nobody waited any longer for the
    ranks without a report; None where all have reported.
    """
    by_rank = {report.rank: report for report in reports}
    failures = [
        f"rank {rank} on node {nodes[rank]}: {finding}"
        for rank in sorted(nodes)
        for finding in _findings(rank, by_rank, stall)
        if not finding.is_ok
    ]
    failures += _shortages(reports)
    if failures:
        raise GroupError(f"the group cannot start: {'; '.join(failures)}")


def _findings(rank: int, reports: Mapping[int, RankReport], stall: Stall | None) -> Iterator[Finding]:
    report = reports.get(rank)
    if report is None:
        yield _silence(rank, stall)
        return
    yield from report.findings
    if 0 in reports:
        yield from _differences(report.versions, reports[0].versions)


def _silence(rank: int, stall: Stall | None) -> Finding:
    if stall is None:
        raise AssertionError(f"rank {rank} has not reported, and was not waited for")
    detail = f"it did not report; in the group nothing has moved for {stall.seconds:.0f} s, and the rank "
    detail += stall.state_of(rank)
    return Finding(Check.ANSWER, detail, "see the log of its worker, and whether its node answers")


def _differences(own: Mapping[str, str], leading: Mapping[str, str]) -> Iterator[Finding]:
    for package in sorted(own.keys() | leading.keys()):
        here, there = own.get(package, "nothing"), leading.get(package, "nothing")
        if here != there:
            detail = f"it has {package} {here}, and rank 0 has {there}"
            yield Finding(Check.VERSIONS, detail, "use one image on all nodes")


def _shortages(reports: Sequence[RankReport]) -> list[str]:
    """Ranks that share a device share what is free on it."""
    sharing: defaultdict[tuple[str, str], list[RankReport]] = defaultdict(list)
    for report in reports:
        if report.device:
            sharing[report.node, report.device.identity].append(report)
    return [shortage for (node, _), group in sharing.items() if (shortage := _shortage(node, group))]


def _shortage(node: str, group: Sequence[RankReport]) -> str | None:
    states = [report.device for report in group if report.device]
    needed = sum(report.missing_bytes for report in group)
    free = min(state.free_bytes for state in states)
    if needed <= free:
        return None
    ranks = ", ".join(str(report.rank) for report in group)
    detail = f"{needed / _GIB:.2f} GiB more of {states[0].name} are needed, and {free / _GIB:.2f} GiB are free"
    shortage = Finding(Check.MEMORY, detail, "stop what else uses the device, or use a higher degree")
    return f"rank {ranks} on node {node}: {shortage}"
