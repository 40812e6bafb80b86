"""Addresses that can be had, and why others cannot."""

from __future__ import annotations

import socket

import pytest

from models.errors import GroupError
from models.parallel.addresses import Address, interface_of, listen, port_of


def test_the_interface_of_an_address_is_found() -> None:
    assert interface_of("127.0.0.1") in [name for _, name in socket.if_nameindex()]
    assert interface_of("127.0.0.3") == interface_of("127.0.0.1")


def test_an_address_of_another_node_has_no_interface_here() -> None:
    with pytest.raises(
        GroupError, match=r"no network interface of this node has the address 203\.0\.113\.7"
    ) as caught:
        interface_of("203.0.113.7")
    assert caught.value.remedy is not None
    assert "has 127.0.0.1" in caught.value.remedy


def test_an_address_of_another_node_cannot_be_listened_on() -> None:
    with pytest.raises(GroupError, match=r"cannot listen on 203\.0\.113\.7:0: this node has no such address"):
        listen(Address("203.0.113.7", 0))


def test_a_name_is_no_address() -> None:
    with pytest.raises(GroupError, match="'localhost' is no IP address"):
        listen(Address("localhost", 0))


def test_it_listens_on_one_address_alone() -> None:
    with listen(Address("127.0.0.1", 0)) as listener:
        assert listener.getsockname() == ("127.0.0.1", port_of(listener))


def test_ipv6_is_written_in_brackets() -> None:
    assert (str(Address("::1", 80)), str(Address("10.0.0.1", 80))) == ("[::1]:80", "10.0.0.1:80")
