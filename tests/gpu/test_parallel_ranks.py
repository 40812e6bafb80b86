"""What a rank finds of a real card, and that it can join a group over nccl."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist

from models.devices import device_of_driver
from models.errors import GroupError
from models.parallel.device_state import cuda_state
from models.parallel.rendezvous import MeetingPoint, Member, join_group, leave_group

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


def test_a_rank_sees_the_card_that_was_planned_and_no_other() -> None:
    device = device_of_driver(torch.cuda.get_device_name(0))
    assert device is not None
    state = cuda_state(0, device.name, context_bytes=512 << 20)
    assert 0 < state.free_bytes <= device.memory_bytes
    assert state.identity == str(torch.cuda.get_device_properties(0).uuid)
    with pytest.raises(GroupError, match=f"cuda:0 is a {device.name}, and t4-17gb was planned"):
        cuda_state(0, "t4-17gb", 0)
    with pytest.raises(GroupError, match="there is no cuda:99"):
        cuda_state(99, device.name, 0)


def test_a_rank_joins_over_nccl() -> None:
    point = MeetingPoint("127.0.0.1")
    join_group(point.meeting, Member(0, 1, "127.0.0.1"), "nccl", 60, os.environ)
    total = torch.ones(3, device="cuda")
    dist.all_reduce(total)
    assert total.tolist() == [1, 1, 1]
    leave_group()
    point.close()
