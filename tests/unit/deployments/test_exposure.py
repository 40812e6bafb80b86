"""Where the router may listen: on loopback always, elsewhere with keys and TLS, or when an operator says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deployments.args import KeyPolicy, RouterArgs
from deployments.exposure import Listening, check_exposure, closed_without_keys, is_loopback
from models.errors import ConfigError

OPEN = Listening("0.0.0.0", is_encrypted=False)
ENCRYPTED = Listening("0.0.0.0", is_encrypted=True)


def no_keys() -> bool:
    return False


def a_key() -> bool:
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_only_this_machine_reaches_loopback(host: str) -> None:
    assert is_loopback(host)
    check_exposure(Listening(host, is_encrypted=False), RouterArgs(), no_keys)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.com", "localhost.example.com", ""])
def test_anything_else_may_be_reached(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError):
        check_exposure(Listening(host, is_encrypted=False), RouterArgs(), no_keys)


def test_without_a_proxy_nothing_is_open() -> None:
    check_exposure(Listening(None, is_encrypted=False), RouterArgs(), no_keys)


@pytest.mark.parametrize(
    ("args", "has_keys", "listening", "words"),
    [
        ({}, no_keys, OPEN, "no API keys"),
        ({}, no_keys, ENCRYPTED, "no API keys"),
        ({"allow_unencrypted": True}, no_keys, OPEN, "no API keys"),
        ({}, a_key, OPEN, "unencrypted"),
        ({"keys": "required"}, no_keys, OPEN, "unencrypted"),
        ({"keys": "off"}, no_keys, OPEN, "unencrypted"),
    ],
)
def test_other_machines_need_a_key_and_tls(
    args: dict[str, str], has_keys: Callable[[], bool], listening: Listening, words: str
) -> None:
    with pytest.raises(ConfigError, match=f"0.0.0.0 is open to other machines, and .*{words}") as refused:
        check_exposure(listening, RouterArgs.model_validate(args), has_keys)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("args", "has_keys", "listening"),
    [
        ({}, a_key, ENCRYPTED),
        ({"keys": "required"}, no_keys, ENCRYPTED),
        ({"allow_unencrypted": True}, a_key, OPEN),
        ({"keys": "off", "allow_unencrypted": True}, no_keys, OPEN),
    ],
)
def test_who_has_both_or_says_so_may(
    args: dict[str, str], has_keys: Callable[[], bool], listening: Listening
) -> None:
    check_exposure(listening, RouterArgs.model_validate(args), has_keys)


@pytest.mark.parametrize("keys", ["auto", "required", "off"])
def test_where_other_machines_come_in_a_router_without_keys_lets_nobody_in(keys: KeyPolicy) -> None:
    args = RouterArgs(keys=keys)
    assert closed_without_keys(ENCRYPTED, args).keys == ("required" if keys == "auto" else keys)
    for host in ("127.0.0.1", None):
        assert closed_without_keys(Listening(host, is_encrypted=False), args) == args


def test_the_database_is_asked_only_where_its_keys_matter() -> None:
    def unasked() -> bool:
        raise AssertionError("it does not matter")

    check_exposure(Listening("127.0.0.1", is_encrypted=False), RouterArgs(), unasked)
    check_exposure(ENCRYPTED, RouterArgs(keys="required"), unasked)
