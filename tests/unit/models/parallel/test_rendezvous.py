"""Processes meet and become one group, or each says within its bound why not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from models.errors import GroupError
from models.parallel import rendezvous
from models.parallel.addresses import Address, interface_of, listen
from models.parallel.rendezvous import Meeting, MeetingPoint, Member, join_group, leave_group
from tests.unit.source_tree import ROOT

# Joins a group, adds up a number over its ranks, and says the sum and what listens in its process.
RANK = """
import os, sys
import psutil, torch
import torch.distributed as dist
from models.parallel.addresses import Address
from models.parallel.rendezvous import GROUP_TIMEOUT, Meeting, MeetingPoint, Member, join_group, leave_group

rank, num_ranks, number = map(int, sys.argv[1:])
point = MeetingPoint("127.0.0.1") if rank == 0 else None
if point:
    print(point.meeting.address.port, point.meeting.secret, flush=True)
port, secret = input().split()
meeting = Meeting(Address("127.0.0.1", int(port)), secret)
join_group(meeting, Member(rank, num_ranks, "127.0.0.1"), "gloo", 120, os.environ)
assert dist.group.WORLD._get_backend(torch.device("cpu")).options._timeout == GROUP_TIMEOUT
total = torch.tensor([number])
dist.all_reduce(total)
hosts = {each.laddr.ip for each in psutil.Process().net_connections() if each.status == "LISTEN"}
leave_group()
if point:
    point.close()
listening = [each for each in psutil.Process().net_connections() if each.status == "LISTEN"]
print(int(total), *hosts, len(listening))
"""


class Group:
    """Processes that add up ``number`` over all of them."""

    def __init__(self, num_ranks: int, number: int) -> None:
        command = [sys.executable, "-c", RANK]
        self.ranks = [
            subprocess.Popen(
                [*command, str(rank), str(num_ranks), str(number)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
            )
            for rank in range(num_ranks)
        ]

    def outputs(self) -> list[tuple[str, str]]:
        """Of each rank what it said, and what it complained of."""
        stdout = self.ranks[0].stdout
        assert stdout is not None
        meeting = stdout.readline()
        for rank in self.ranks:
            assert rank.stdin is not None
            rank.stdin.write(meeting)
            rank.stdin.flush()
        return [rank.communicate(timeout=200) for rank in self.ranks]


@pytest.fixture
def point() -> Iterator[MeetingPoint]:
    opened = MeetingPoint("127.0.0.1")
    yield opened
    opened.close()


def join(meeting: Meeting, rank: int = 0, within_s: float = 1) -> GroupError:
    """Why the process cannot join."""
    with pytest.raises(GroupError) as caught:
        join_group(meeting, Member(rank, 3, "127.0.0.1"), "gloo", within_s, {})
    return caught.value


def test_two_groups_that_start_at_once_do_not_mix_are_quiet_and_leave_no_port() -> None:
    groups = [Group(3, 10), Group(2, 100)]
    results = [group.outputs() for group in groups]
    assert results == [[("30 127.0.0.1 0\n", "")] * 3, [("200 127.0.0.1 0\n", "")] * 2]


def test_who_never_comes_is_named_and_who_came_does_not_come_twice(point: MeetingPoint) -> None:
    join(point.meeting, rank=2)
    assert join(point.meeting).message == (
        "the group is not complete after 1 s: joined has rank 0, 2, missing is rank 1"
    )
    assert join(point.meeting, rank=2).message == "rank 2 has joined already"


def test_a_rank_of_another_group_is_refused(point: MeetingPoint) -> None:
    error = join(replace(point.meeting, secret="0" * 32))
    assert error.message == f"another group meets at {point.meeting.address}"
    assert "joined has rank 1, missing is rank 0, 2" in join(point.meeting, rank=1).message


def test_ranks_that_met_and_left_again_are_not_waited_for(point: MeetingPoint) -> None:
    for rank in (1, 2):
        join(point.meeting, rank=rank)
    error = join(point.meeting)
    assert error.message.startswith("the ranks have met and cannot be connected by gloo: wait timeout")


def test_nobody_at_the_address_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = Address("127.0.0.1", gone.getsockname()[1])
    expected = f"the group's meeting point {address} cannot be reached: Connection refused"
    assert join(Meeting(address, "secret")).message == expected


def test_a_program_that_says_nothing_there_holds_up_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("127.0.0.1", silent.getsockname()[1])
        expected = f"joining the group at {address} took longer than 1 s"
        assert join(Meeting(address, "secret")).message == expected


def test_a_leader_that_leaves_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = MeetingPoint("127.0.0.1")
    wait = rendezvous._wait_for_all

    def leave_then_wait(*arguments: Any) -> None:
        point.close()
        wait(*arguments)

    monkeypatch.setattr(rendezvous, "_wait_for_all", leave_then_wait)
    assert join(point.meeting, rank=1, within_s=60).message.startswith("rank 0 left while the group was joining")


def test_a_port_in_use_is_named() -> None:
    with listen(Address("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GroupError, match=f"cannot listen on 127.0.0.1:{port}: the port is in use"):
            MeetingPoint("127.0.0.1", port)


def test_the_interface_is_that_of_the_address_unless_the_operator_chose_one(point: MeetingPoint) -> None:
    environment = {"NCCL_SOCKET_IFNAME": "ib0"}
    with pytest.raises(GroupError):
        join_group(point.meeting, Member(0, 2, "127.0.0.1"), "gloo", 0.1, environment)
    assert environment == {"GLOO_SOCKET_IFNAME": interface_of("127.0.0.1"), "NCCL_SOCKET_IFNAME": "ib0"}


def test_a_group_that_was_never_joined_can_be_left() -> None:
    leave_group()


def test_the_secret_is_in_no_log(point: MeetingPoint) -> None:
    assert point.meeting.secret not in repr(point.meeting)
