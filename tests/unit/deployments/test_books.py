"""The door of one router replica: who comes in, and who is written down as what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deployments.args import KeyPolicy
from deployments.audit.record import Outcome
from deployments.dataplane.door import Arrival, Ending
from deployments.identity.caller import ANONYMOUS, NOBODY
from deployments.state.keyring import Keyring
from models.errors import (
    AuthenticationError,
    StateUnavailableError,
)
from tests.unit.deployments.office import PREFIX, TEXT, Office, keyring, make, office
from tests.unit.deployments.planes import LONG_S

__all__ = ["make", "office"]  # fixtures


async def test_without_keys_everybody_is_the_operator(make: Callable[..., Office]) -> None:
    office = make(known=Keyring([]))
    assert office.books.asks_for_keys is False
    assert office.enter(None).caller == office.enter("nonsense").caller == ANONYMOUS


async def test_the_first_key_closes_the_door(make: Callable[..., Office]) -> None:
    office = make(known=Keyring([]))
    office.books.set_keys(keyring())
    with pytest.raises(AuthenticationError, match="an API key is needed"):
        office.enter(None)
    caller = office.enter().caller
    assert (caller.key, caller.owner, caller.tenant) == (PREFIX, "ann", "acme")


async def test_a_wrong_key_is_refused_and_not_repeated(office: Office) -> None:
    wrong = f"{TEXT[:-1]}!"
    with pytest.raises(AuthenticationError) as refused:
        office.enter(wrong)
    assert wrong[-20:] not in str(refused.value)


@pytest.mark.parametrize("keys", ["auto", "required"])
async def test_before_the_keys_are_known_nobody_comes_in(make: Callable[..., Office], keys: KeyPolicy) -> None:
    office = make(keys)
    for key in (None, TEXT):
        with pytest.raises(StateUnavailableError, match="not been able to read the API keys yet"):
            office.enter(key)


async def test_keys_can_be_required_though_there_are_none(make: Callable[..., Office]) -> None:
    office = make("required", Keyring([]))
    with pytest.raises(AuthenticationError):
        office.enter(None)


async def test_keys_can_be_switched_off_though_there_are_some(make: Callable[..., Office]) -> None:
    office = make("off")
    assert office.enter(None).caller == ANONYMOUS  # whatever the database says, or does not
    office.books.set_keys(keyring())
    assert office.enter(None).caller == office.enter(TEXT).caller == ANONYMOUS


async def test_who_is_refused_is_written_down_as_nobody(office: Office) -> None:
    arrival = Arrival("r7", "openai", "/v1/models", LONG_S, "wrong", {"user-agent": "x"})
    office.books.reject(arrival, Ending(401, Outcome.REFUSED, AuthenticationError("invalid API key")))
    (record,) = office.records()
    assert (record.id, record.key, record.tenant, record.status) == ("r7", None, NOBODY.tenant, 401)
    assert (record.outcome, record.error) == (Outcome.REFUSED, "authentication")
