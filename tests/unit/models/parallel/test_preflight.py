"""Three processes check their nodes; whatever is wrong is named with the rank and node that have it."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from models.errors import GroupError
from models.parallel.addresses import Address
from models.parallel.bounded import start
from models.parallel.device_state import DeviceState
from models.parallel.file_check import KnownHashes
from models.parallel.greeting import Endpoint
from models.parallel.preflight import Needs, Preflight, Seat, Surroundings
from models.parallel.pulse import Pulse
from models.parallel.report import Check, judge
from models.parallel.stall import Stall
from models.progress import NoProgress
from tests.unit.models.parallel.preflights import CHECK_S, ROOM, TOKEN, VERSIONS, Rank, Ranks, entry_of, stored


@pytest.fixture
def group(tmp_path: Path) -> list[Rank]:
    """Of three ranks, each with its own node's copy of the version."""
    ranks = []
    for rank in range(3):
        folder = tmp_path / f"node-{rank}" / "tiny" / "1"
        folder.mkdir(parents=True)
        for shard in [folder / f"model-{number}.safetensors" for number in range(2)]:
            shard.write_bytes(shard.name.encode() * 100)
        needs = Needs(1 << 20, stored(folder), frozenset)
        ranks.append(Rank(rank, needs, tmp_path / f"hashes-{rank}", VERSIONS))
    return ranks


def surroundings(folder: Path, state: DeviceState = ROOM) -> Surroundings:
    return Surroundings(lambda: state, VERSIONS, KnownHashes(folder, NoProgress()))


def test_a_healthy_group_may_start(group: list[Rank]) -> None:
    with Ranks(group) as ranks:
        reports = ranks.reports()
    judge(ranks.nodes, reports, None)
    assert [report.rank for report in reports] == [0, 1, 2]
    checks = [finding.check for finding in reports[1].findings]
    assert checks == [Check.DEVICE, Check.INTERCONNECT, Check.INTERCONNECT, Check.FILES]
    assert str(reports[1].findings[1]) == f"interconnect: reached rank 0 at {ranks.endpoints[0].address}"


def test_all_that_is_wrong_is_said_at_once(group: list[Rank]) -> None:
    damaged, incomplete = (group[rank].needs.stored.folder for rank in (1, 2))
    (damaged / "model-1.safetensors").write_bytes(b"model-1.safetensorX" * 100)
    (incomplete / "model-0.safetensors").unlink()
    group[2] = replace(group[2], versions=VERSIONS | {"torch": "2.12.1"})
    with Ranks(group) as ranks:
        reports = ranks.reports()
    with pytest.raises(GroupError) as caught:
        judge(ranks.nodes, reports, None)
    message = caught.value.message
    altered, expected = entry_of(damaged / "model-1.safetensors"), group[1].needs.stored.manifest.files[1]
    assert (
        f"rank 1 on node node-1: shard files: {altered.path} has SHA-256 {altered.sha256}, not {expected.sha256}"
        in message
    )
    assert f"rank 2 on node node-2: shard files: model-0.safetensors is missing (remove {incomplete}" in message
    assert "rank 2 on node node-2: library versions: it has torch 2.12.1, and rank 0 has 2.13.0" in message
    assert "rank 0 on" not in message


def test_a_rank_that_hangs_is_named_by_its_leader_and_by_those_that_greet_it(group: list[Rank]) -> None:
    with Ranks([replace(rank, check_s=2) for rank in group]) as ranks:
        ranks.freeze(2)
        reports = ranks.reports({2: 0.5})
    with pytest.raises(GroupError) as caught:
        judge(ranks.nodes, reports, Stall((2,), 120, {0: Pulse(3, "checks"), 1: Pulse(4, "checks"), 2: None}))
    assert "rank 2 on node node-2: answer: it did not report; in the group nothing" in caught.value.message
    assert [finding.detail for finding in reports[0].findings if not finding.is_ok] == [
        f"rank 2 at {ranks.endpoints[2].address} does not answer within 1 s"
    ]


def test_a_check_that_hangs_is_reported_and_the_others_too(tmp_path: Path) -> None:
    never = Event()

    def hang() -> DeviceState:
        never.wait()
        return ROOM

    around = Surroundings(hang, VERSIONS, KnownHashes(tmp_path, NoProgress()))
    preflight = Preflight(Seat(1, "a", "127.0.0.1"), TOKEN, 0.5, around)
    report = preflight.report(Needs(1, stored(tmp_path), frozenset), [])
    preflight.close()
    never.set()
    assert [str(finding).partition(" (")[0] for finding in report.findings] == [
        "device: it did not end in time",
        "shard files: 0 files with 0 bytes, as in the manifest",
    ]
    assert report.device is None


def test_a_device_that_breaks_is_a_finding(tmp_path: Path) -> None:
    def broken() -> DeviceState:
        raise RuntimeError("CUDA driver initialization failed")

    around = Surroundings(broken, VERSIONS, KnownHashes(tmp_path, NoProgress()))
    preflight = Preflight(Seat(1, "a", "127.0.0.1"), TOKEN, CHECK_S, around)
    report = preflight.report(Needs(1, stored(tmp_path), frozenset), [])
    preflight.close()
    assert report.findings[0].detail == "RuntimeError: CUDA driver initialization failed"
    assert not report.findings[0].is_ok


def test_a_rank_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    preflight = Preflight(Seat(0, "a", "127.0.0.1"), TOKEN, CHECK_S, surroundings(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    report = preflight.report(Needs(1, stored(tmp_path), frozenset), [Endpoint(1, Address("127.0.0.1", port))])
    preflight.close()
    assert report.findings[1].detail == f"rank 1 at 127.0.0.1:{port} cannot be reached: Connection refused"


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GroupError) as caught:
            Preflight(Seat(2, "b", "127.0.0.1"), TOKEN, CHECK_S, surroundings(tmp_path), port)
    expected = f"rank 2 on node b: interconnect: cannot listen on 127.0.0.1:{port}: the port is in use"
    assert caught.value.message == expected
    assert caught.value.remedy == "stop what listens there, or let the system choose a free port: give none"


def test_files_that_take_longer_than_any_other_check_are_waited_for(tmp_path: Path) -> None:
    (tmp_path / "version").mkdir()
    is_hashed = Event()

    def hold() -> frozenset[str]:
        is_hashed.wait()
        return frozenset()

    preflight = Preflight(Seat(1, "a", "127.0.0.1"), TOKEN, 0.1, surroundings(tmp_path))
    report = start(lambda: preflight.report(Needs(1, stored(tmp_path / "version"), hold), []))
    with pytest.raises(TimeoutError):
        report.result(0.5)
    is_hashed.set()
    assert [finding.is_ok for finding in report.result(10).findings] == [True, True]
    preflight.close()
