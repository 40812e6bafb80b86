"""How the ranks of one group talk: the leader to all of them, and each stage to the next. Imports torch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup, Work
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.distributed_c10d import _set_pg_timeout

from models.errors import GroupError
from models.parallel.layout import GroupLayout
from models.parallel.pulse import ProgressCounter
from models.parallel.rendezvous import GROUP_TIMEOUT

_STOP = -1
_LEADER = 0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class States:
    """What hidden states are, which pass between stages: [batch, tokens, ``hidden_size``]."""

    hidden_size: int
    dtype: torch.dtype
    device: str


class _Outbox:
    """Messages under way, each kept until it has left.

    gloo counts a message as sent only once someone has waited for it. So the oldest is waited for as soon as more
    than ``most`` are kept, which is more than can be on their way while the group works: that wait is none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: deque[tuple[Work, torch.Tensor]] = deque()

    def __len__(self) -> int:
        return len(self._sent)

    def send(self, tensor: torch.Tensor, rank: int, group: ProcessGroup) -> None:
        while len(self._sent) >= self._most:
            self._sent.popleft()[0].wait()
        work = cast("Work", dist.isend(tensor, rank, group=group))  # None only where it is not in the group
        self._sent.append((work, tensor))

    def flush(self, within_s: float) -> None:
        """RuntimeError when they have not left within the bound."""
        deadline_s = time.monotonic() + within_s
        while self._sent:
            remaining_s = max(0.001, deadline_s - time.monotonic())
            self._sent.popleft()[0].wait(timedelta(seconds=remaining_s))


class Links:
    """Of one rank. ``control`` carries messages of the leader (gloo), ``states`` hidden states (gloo, nccl between
    GPUs). ``pulse`` says for whom this rank waits."""

    def __init__(
        self,
        layout: GroupLayout,
        rank: int,
        control: ProcessGroup,
        states: ProcessGroup,
        shape: States,
        pulse: ProgressCounter,
    ) -> None:
        self._others = [other for other in range(layout.num_ranks) if other != rank]
        self._shard = layout.shard(rank)
        self._layout = layout
        self._control = control
        self._states = states
        self._shape = shape
        self._pulse = pulse
        # At most one step for each stage is under way, beside the one that is being sent.
        most = layout.degree.pipeline + 1
        self._announced = _Outbox(2 * most * max(1, len(self._others)))
        self._passed_on = _Outbox(most)

    @property
    def num_under_way(self) -> int:
        """Messages that are kept until they have left."""
        return len(self._announced) + len(self._passed_on)

    def announce(self, message: torch.Tensor) -> None:
        """Leader: let every other rank have the int32 ``message``. Does not wait for them."""
        self._tell(torch.tensor([len(message)], dtype=torch.int64), message)

    def dismiss(self, within_s: float) -> None:
        """Leader: there is no further message. GroupError when the others do not take notice within the bound."""
        try:
            self._tell(torch.tensor([_STOP], dtype=torch.int64))
            self._announced.flush(within_s)
        except RuntimeError as error:
            raise GroupError(
                f"the other ranks have not heard within {within_s:g} s that they may end: {error}",
                remedy="end their processes",
            ) from error

    def rest(self) -> None:
        """Leader: there is nothing to do for now."""
        self._tell(torch.zeros(1, dtype=torch.int64))

    def next_message(self) -> torch.Tensor | None:
        """Others: wait for a message; an empty one says that there is nothing to do for now, None that there is no
        further one. RuntimeError when the leader is gone."""
        self._pulse.advance("waits for a step", (_LEADER,))
        size = torch.empty(1, dtype=torch.int64)
        dist.recv(size, _LEADER, group=self._control)
        if int(size) == _STOP:
            return None
        message = torch.empty(int(size), dtype=torch.int32)
        if not len(message):
            return message
        dist.recv(message, _LEADER, group=self._control)
        return message

    def send_states(self, states: torch.Tensor) -> None:
        """To the same slice of the next stage. Does not wait for it."""
        to = self._layout.rank(self._shard.stage + 1, self._shard.tensor_index)
        self._passed_on.send(states.contiguous(), to, self._states)

    def receive_states(self, shape: Sequence[int]) -> torch.Tensor:
        """From the same slice of the stage before: [*``shape``, hidden size]."""
        sender = self._layout.rank(self._shard.stage - 1, self._shard.tensor_index)
        self._pulse.advance("waits for hidden states", (sender,))
        states = torch.empty((*shape, self._shape.hidden_size), dtype=self._shape.dtype, device=self._shape.device)
        dist.recv(states, sender, group=self._states)
        self._wait_for_gpu()
        return states

    def settle(self) -> None:
        """Wait until this rank's device has computed what it was given."""
        self._pulse.advance("completes its part on its device")
        self._wait_for_gpu()

    def try_out(self, mesh: DeviceMesh | None) -> None:
        """Use every way once: nccl makes them when they are first used, and the group is to fail before it serves.

        Every rank has to call it, with the ``mesh`` of its stage. All come together first, however long one loads:
        nccl waits for the others only as long as joining may take.
        """
        self.gather(self._shard.rank)
        if mesh is not None:
            self._pulse.advance("tries to add up with the other slices of its stage", self._others_of_stage())
            dist.all_reduce(torch.zeros(1, device=self._shape.device), group=mesh.get_group())
            self._wait_for_gpu()
        if not self._shard.is_first:
            self.receive_states((1, 1))
        if not self._shard.is_last:
            shape = (1, 1, self._shape.hidden_size)
            self.send_states(torch.zeros(shape, dtype=self._shape.dtype, device=self._shape.device))

    def _others_of_stage(self) -> tuple[int, ...]:
        return tuple(rank for rank in self._layout.ranks_of(self._shard.stage) if rank in self._others)

    def _wait_for_gpu(self) -> None:
        """Its calls return before anything is computed or has come, so that nobody could tell who hangs."""
        if self._shape.device != "cpu":
            torch.cuda.current_stream().synchronize()

    def gather(self, own: T) -> list[T]:
        """What each rank gives, by rank; every rank has to call it."""
        self._pulse.advance("waits for what the others have", tuple(self._others))
        found = [own] * self._layout.num_ranks
        dist.all_gather_object(found, own, group=self._control)
        return found

    def _tell(self, *parts: torch.Tensor) -> None:
        for rank in self._others:
            for part in parts:
                self._announced.send(part, rank, self._control)


def tensor_mesh(layout: GroupLayout, device: str) -> DeviceMesh | None:
    """The ranks of each stage as a mesh; every rank of the group has to ask for it. None where none is divided."""
    if layout.degree.tensor == 1:
        return None
    stages = [list(layout.ranks_of(stage)) for stage in range(layout.degree.pipeline)]
    mesh = DeviceMesh(device.partition(":")[0], stages, mesh_dim_names=("pipeline", "tensor"))["tensor"]
    _set_pg_timeout(GROUP_TIMEOUT, mesh.get_group())  # a mesh makes groups with the library's own
    return mesh
