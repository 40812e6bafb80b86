"""How the processes of a group find each other: rank 0 opens a meeting point, all join it, or each says who is
missing. Imports torch."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import _set_pg_timeout

from models.errors import GroupError
from models.parallel.addresses import Address, interface_of, listen, port_of
from models.parallel.bounded import bounded

# Of collectives, in this group and in those made within it. A slow group is a healthy one: who hangs is found by
# the progress of its ranks, which a collective that gives up would end too soon.
GROUP_TIMEOUT = timedelta(days=1)
_POLL_S = 0.02
_OPEN = "open"
_LOOK_AT_RANK_0 = "see the log of rank 0, which opened it"


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where a group meets. ``secret`` is the name under which it goes there, and known to its ranks alone."""

    address: Address
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Member:
    """Who joins: one of ``num_ranks``, on a node that the others reach under ``host``, an IP address."""

    rank: int
    num_ranks: int
    host: str


class MeetingPoint:
    """Rank 0's: others can join from now until it is closed.

    Its socket listens before anyone is told the port, and on the one address, so that no other group or program
    can come between. ``port`` 0 is any free one; GroupError when it cannot listen.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        listener = listen(Address(host, port))
        self.meeting = Meeting(Address(host, port_of(listener)), secrets.token_hex(16))
        self._store: TCPStore | None = TCPStore(
            host,
            self.meeting.address.port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )
        PrefixStore(self.meeting.secret, self._store).set(_OPEN, "")

    def close(self) -> None:
        """Listen no more; to be called once the group was left."""
        self._store = None  # it stops with its last reference


def join_group(
    meeting: Meeting, member: Member, backend: str, within_s: float, environment: MutableMapping[str, str]
) -> None:
    """Make the process a rank of torch.distributed's default group; returns once all ranks are.

    GroupError, within the bound, that says what hindered it: nothing answers at the address, another group does,
    the rank is taken, or which ranks are missing. ``environment`` is the process's own (os.environ), from which
    gloo and nccl read the network interface to use; an interface that the operator set there is left.
    """
    for name, value in _interface_settings(member.host).items():
        environment.setdefault(name, value)
    deadline_s = time.monotonic() + within_s
    store = bounded(
        partial(_enter, meeting, member.rank, within_s), within_s, f"joining the group at {meeting.address}"
    )
    _wait_for_all(store, member, deadline_s, within_s)
    _make_group(store, member, backend, max(_POLL_S, deadline_s - time.monotonic()))


def leave_group() -> None:
    """Undo ``join_group``; no effect before it."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _interface_settings(host: str) -> dict[str, str]:
    """Without them both libraries guess from the host's name or take the first interface. "=": that very name."""
    interface = interface_of(host)
    return {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": f"={interface}"}


def _enter(meeting: Meeting, rank: int, within_s: float) -> Store:
    """Tell the others that the rank is here."""
    _check_that_it_listens(meeting.address, within_s)
    try:
        store = PrefixStore(meeting.secret, _connect(meeting.address, within_s))
        if not store.check([_OPEN]):
            raise GroupError(
                f"another group meets at {meeting.address}", remedy="start the group anew: its rank 0 is gone"
            )
        if store.add(_joined(rank), 1) > 1:
            raise GroupError(
                f"rank {rank} has joined already", remedy="start the group anew, with one worker a rank"
            )
    except dist.DistError as error:
        raise _broken(meeting.address, error) from error
    return store


def _check_that_it_listens(address: Address, within_s: float) -> None:
    """A TCPStore that cannot connect prints its stack and says less."""
    try:
        socket.create_connection((address.host, address.port), within_s).close()
    except OSError as error:
        raise GroupError(
            f"the group's meeting point {address} cannot be reached: {error.strerror or error}",
            remedy=_LOOK_AT_RANK_0,
        ) from error


def _connect(address: Address, within_s: float) -> TCPStore:
    return TCPStore(
        address.host,
        address.port,
        is_master=False,
        timeout=timedelta(seconds=within_s),
        wait_for_workers=False,
    )


def _wait_for_all(store: Store, member: Member, deadline_s: float, within_s: float) -> None:
    """Asks again and again, as a store that waits in vain prints warnings and does not say for whom."""
    keys = [_joined(rank) for rank in range(member.num_ranks)]
    try:
        while not store.check(keys):
            if time.monotonic() > deadline_s:
                raise _incomplete([store.check([key]) for key in keys], within_s)
            time.sleep(_POLL_S)
    except dist.DistError as error:
        raise GroupError(
            f"rank 0 left while the group was joining: {_first_line(error)}", remedy=_LOOK_AT_RANK_0
        ) from error


def _make_group(store: Store, member: Member, backend: str, within_s: float) -> None:
    try:
        dist.init_process_group(
            backend,
            store=store,
            rank=member.rank,
            world_size=member.num_ranks,
            timeout=timedelta(seconds=within_s),
        )
        _set_pg_timeout(GROUP_TIMEOUT)  # private, and the only way to have another one for joining
    except RuntimeError as error:
        raise GroupError(
            f"the ranks have met and cannot be connected by {backend}: {_first_line(error)}",
            remedy="let the nodes of a group reach each other on all ports",
        ) from error


def _first_line(error: RuntimeError) -> str:
    """Without the stack of C++ that may follow."""
    return str(error).partition("\n")[0]


def _joined(rank: int) -> str:
    return f"joined/{rank}"


def _broken(address: Address, error: dist.DistError) -> GroupError:
    return GroupError(
        f"the group's meeting point {address} does not answer: {_first_line(error)}", remedy=_LOOK_AT_RANK_0
    )


def _incomplete(has_joined: Sequence[bool], within_s: float) -> GroupError:
    present = ", ".join(str(rank) for rank, joined in enumerate(has_joined) if joined)
    missing = ", ".join(str(rank) for rank, joined in enumerate(has_joined) if not joined)
    return GroupError(
        f"the group is not complete after {within_s:g} s: joined has rank {present}, missing is rank {missing}",
        remedy="see the logs of the ranks that are missing",
    )
