"""The addresses under which ranks reach one another, and the network interfaces that have them."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

import psutil

from models.errors import GroupError

_LOOPBACK = "127.0.0.1"
_ANY_FREE_PORT = "let the system choose a free port: give none"
_LISTEN_REMEDIES = {
    errno.EADDRINUSE: ("the port is in use", f"stop what listens there, or {_ANY_FREE_PORT}"),
    errno.EADDRNOTAVAIL: ("this node has no such address", "use the address under which Ray knows the node"),
    errno.EACCES: ("the process may not use this port", _ANY_FREE_PORT),
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens. ``host`` is an IP address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def family_of(host: str) -> socket.AddressFamily:
    """IPv4 or IPv6; GroupError for what is no IP address, as names may mean another address on each node."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError as error:
        raise GroupError(
            f"{host!r} is no IP address", remedy="give the address of the node, not its name"
        ) from error
    return socket.AF_INET if version == 4 else socket.AF_INET6


def listen(address: Address) -> socket.socket:
    """A socket that listens there, and there alone; port 0 is any free one. GroupError says why it cannot."""
    family = family_of(address.host)
    try:
        return socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        reason, remedy = _LISTEN_REMEDIES.get(error.errno or 0, (str(error), _ANY_FREE_PORT))
        raise GroupError(f"cannot listen on {address}: {reason}", remedy=remedy) from error


def port_of(listener: socket.socket) -> int:
    """Where the socket listens."""
    port: int = listener.getsockname()[1]
    return port


def interface_of(host: str) -> str:
    """The network interface that has the address; GroupError names those that this node has.

    The one with 127.0.0.1 has all of 127.0.0.0/8, whatever it lists.
    """
    wanted = _LOOPBACK if ":" not in host and ipaddress.ip_address(host).is_loopback else host
    interfaces = {
        name: [
            each.address.partition("%")[0] for each in found if each.family in (socket.AF_INET, socket.AF_INET6)
        ]
        for name, found in psutil.net_if_addrs().items()
    }
    for name, addresses in interfaces.items():
        if wanted in addresses:
            return name
    known = "; ".join(f"{name} has {', '.join(found)}" for name, found in interfaces.items() if found)
    raise GroupError(
        f"no network interface of this node has the address {host}", remedy=f"use one of these: {known}"
    )
