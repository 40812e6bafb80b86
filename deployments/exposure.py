"""Whether the router may listen where Serve is told to: secure by default. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from deployments.args import RouterArgs
from models.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Listening:
    """Where Serve's HTTP proxies listen; ``host`` is None where there are none."""

    host: str | None
    is_encrypted: bool


def check_exposure(listening: Listening, args: RouterArgs, has_keys: Callable[[], bool]) -> None:
    """ConfigError for an address that other machines reach, without keys or without TLS, unless it is wanted.

    ``has_keys`` is asked only where it matters.
    """
    if not _is_open(listening):
        return
    host = listening.host
    if args.keys == "auto" and not has_keys():
        raise ConfigError(
            f"http_options.host {host} is open to other machines, and there are no API keys",
            remedy="make one with 'stowage keys create', listen on 127.0.0.1, or write keys: 'off' to let all in",
        )
    if not listening.is_encrypted and not args.allow_unencrypted:
        raise ConfigError(
            f"http_options.host {host} is open to other machines, and keys and prompts would cross the network "
            "unencrypted",
            remedy="set ssl_keyfile and ssl_certfile in http_options, or write allow_unencrypted: true where "
            "something in front of the router encrypts",
        )


def closed_without_keys(listening: Listening, args: RouterArgs) -> RouterArgs:
    """What the replicas go by: where other machines come in, one that finds no keys lets nobody in.

    It may be on another node than the check was, beside an SQLite file that it has just made itself.
    """
    if args.keys == "auto" and _is_open(listening):
        return args.model_copy(update={"keys": "required"})
    return args


def _is_open(listening: Listening) -> bool:
    return listening.host is not None and not is_loopback(listening.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``, a name or an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
