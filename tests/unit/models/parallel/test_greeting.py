"""Ranks greet each other over real sockets; strangers are refused and hold up nobody."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from models.errors import GroupError
from models.parallel.addresses import Address
from models.parallel.greeting import Doorway, Endpoint, greet

TOKEN = b"of this group"
LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def doorway() -> Iterator[Doorway]:
    opened = Doorway(3, LOOPBACK, TOKEN, within_s=20)
    yield opened
    opened.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ranks_of_a_group_reach_each_other(host: str) -> None:
    doorway = Doorway(3, Address(host, 0), TOKEN, within_s=20)
    assert greet(1, doorway.endpoint, TOKEN, 20) == f"reached rank 3 at {doorway.endpoint.address}"
    doorway.close()


def test_a_stranger_is_refused_and_refuses(doorway: Doorway) -> None:
    with pytest.raises(GroupError, match="is not rank 3 of this group: it does not have the group's token"):
        greet(1, doorway.endpoint, b"of another group", 20)


def test_who_does_not_prove_itself_is_turned_away(doorway: Doorway, caplog: pytest.LogCaptureFixture) -> None:
    address = doorway.endpoint.address
    with socket.create_connection((address.host, address.port), 20) as stranger:
        stranger.sendall(bytes(20))
        answer = stranger.makefile("rb").read(16 + 32)
        stranger.sendall(answer[16:])  # its own proof, sent back to it
        assert stranger.recv(1) == b""
    assert greet(1, doorway.endpoint, TOKEN, 20)
    deadline_s = time.monotonic() + 10
    while not caplog.messages and time.monotonic() < deadline_s:
        time.sleep(0.01)  # it closes the connection first
    assert "rank 3 turned 127.0.0.1 away: it does not have the group's token" in caplog.messages


def test_another_rank_than_expected_is_refused(doorway: Doorway) -> None:
    with pytest.raises(GroupError, match="is not rank 2 of this group"):
        greet(1, Endpoint(2, doorway.endpoint.address), TOKEN, 20)


def test_a_silent_caller_holds_up_nobody(doorway: Doorway) -> None:
    address = doorway.endpoint.address
    with socket.create_connection((address.host, address.port), 20):
        assert greet(1, doorway.endpoint, TOKEN, 20)


def test_a_rank_that_says_nothing_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(GroupError, match=f"rank 2 at 127.0.0.1:{port} does not answer within 0.1 s"):
            greet(1, Endpoint(2, Address("127.0.0.1", port)), TOKEN, 0.1)


def test_another_program_at_the_address_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def hang_up() -> None:
            connection, _ = other.accept()
            connection.recv(20)
            connection.close()

        thread = Thread(target=hang_up)
        thread.start()
        endpoint = Endpoint(2, Address("127.0.0.1", other.getsockname()[1]))
        with pytest.raises(GroupError, match="is not rank 2 of this group: it hung up"):
            greet(1, endpoint, TOKEN, 20)
        thread.join()


def test_a_closed_doorway_leaves_its_port() -> None:
    doorway = Doorway(0, LOOPBACK, TOKEN, within_s=20)
    doorway.close()
    doorway.close()
    Doorway(0, doorway.endpoint.address, TOKEN, within_s=20).close()
