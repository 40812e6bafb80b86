from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from deployments.identity.caller import Priority, Role
from deployments.limits.limit_set import LimitSet
from deployments.state.admin_events import claim_unexported
from deployments.state.api_key import KeyGrant
from deployments.state.database import Database
from deployments.state.keyring import Keyring
from deployments.state.keys import Keys
from deployments.state.revisions import Topic, read_revisions
from models.errors import AuthenticationError, InvalidRequestError, StateError

ANN = KeyGrant(owner="ann")
EVERYTHING = KeyGrant(
    owner="Ann Ö",
    tenant="search",
    roles=(Role.OPERATOR, Role.CALLER),
    models=("smol*", "minilm@2"),
    priority=Priority.BATCH,
    limits=LimitSet(requests_per_minute=60, cost_per_month=Decimal("12.50")),
    expires_at=2_000_000_000.5,
)


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: Database, clock: Clock) -> Keys:
    return Keys(database, now=clock)


def keyring(keys: Keys) -> Keyring:
    return Keyring(keys.list())


def revision(database: Database) -> int:
    with database.read() as connection:
        return read_revisions(connection)[Topic.KEYS]


def events(database: Database) -> list[tuple[str, str, str]]:
    with database.transaction() as connection:
        return [(event.actor, event.action, event.subject) for event in claim_unexported(connection, 100, now=0)]


@pytest.mark.parametrize("grant", [ANN, EVERYTHING], ids=lambda grant: grant.owner)
def test_what_is_granted_is_what_is_stored(keys: Keys, clock: Clock, grant: KeyGrant) -> None:
    issued = keys.create(grant, "cli:root")
    assert keys.list() == (issued.key,)
    assert issued.key.grant == grant
    assert keyring(keys).identify(issued.text, clock.now) == issued.key.caller


def test_the_text_is_nowhere_in_the_files(keys: Keys, tmp_path: Path) -> None:
    secret = keys.create(ANN, "cli:root").text.rpartition("-")[2].encode()
    files = list((tmp_path / "new").iterdir())
    assert any(b"ann" in path.read_bytes() for path in files)
    assert not any(secret in path.read_bytes() for path in files)


def test_keys_are_listed_oldest_first(keys: Keys, clock: Clock) -> None:
    made = []
    for owner in ("c", "a", "b"):
        clock.now += 1
        made.append(keys.create(KeyGrant(owner=owner), "cli:root").key)
    assert keys.list() == tuple(made)


def test_a_rotation_keeps_the_prefix_and_the_old_text_for_a_while(keys: Keys, clock: Clock) -> None:
    old = keys.create(EVERYTHING, "cli:root")
    clock.now += 10
    new = keys.rotate(old.key.prefix, 60, "cli:root")
    assert (new.key.prefix, new.key.grant) == (old.key.prefix, EVERYTHING)
    assert keys.list() == (new.key,)
    for text_ in (old.text, new.text):
        assert keyring(keys).identify(text_, clock.now + 59) == old.key.caller
    assert keyring(keys).identify(new.text, clock.now + 60) == old.key.caller
    with pytest.raises(AuthenticationError, match="rotated"):
        keyring(keys).identify(old.text, clock.now + 60)


def test_a_second_rotation_ends_the_first_text(keys: Keys, clock: Clock) -> None:
    first = keys.create(ANN, "cli:root")
    second = keys.rotate(first.key.prefix, 60, "cli:root")
    keys.rotate(first.key.prefix, 60, "cli:root")
    assert keyring(keys).identify(second.text, clock.now).owner == "ann"
    with pytest.raises(AuthenticationError, match="invalid API key"):
        keyring(keys).identify(first.text, clock.now)


def test_revoking_ends_every_text_at_once_and_only_once(keys: Keys, database: Database, clock: Clock) -> None:
    old = keys.create(ANN, "cli:root")
    new = keys.rotate(old.key.prefix, 60, "cli:root")
    revoked = keys.revoke(old.key.prefix, "cli:root")
    for text_ in (old.text, new.text):
        with pytest.raises(AuthenticationError, match="revoked"):
            keyring(keys).identify(text_, clock.now)
    before = revision(database)
    clock.now += 5
    assert keys.revoke(old.key.prefix, "cli:eve") == revoked
    assert revision(database) == before


def test_what_has_ended_cannot_be_rotated(keys: Keys, clock: Clock) -> None:
    revoked = keys.revoke(keys.create(ANN, "cli:root").key.prefix, "cli:root")
    expired = keys.create(KeyGrant(owner="ann", expires_at=clock.now), "cli:root").key
    for key in (revoked, expired):
        with pytest.raises(InvalidRequestError, match="revoked or expired"):
            keys.rotate(key.prefix, 60, "cli:root")


def test_an_unknown_prefix_is_named(keys: Keys) -> None:
    with pytest.raises(InvalidRequestError, match="no API key 'nobody99'"):
        keys.revoke("nobody99", "cli:root")
    with pytest.raises(InvalidRequestError, match="no API key 'nobody99'"):
        keys.rotate("nobody99", 1, "cli:root")


def test_each_change_is_an_event_and_a_revision(keys: Keys, database: Database) -> None:
    prefix = keys.create(ANN, "cli:ann").key.prefix
    assert revision(database) == 1
    keys.rotate(prefix, 60, "cli:bob")
    assert revision(database) == 2
    keys.revoke(prefix, "http:abcdefgh")
    assert revision(database) == 3
    assert events(database) == [
        ("cli:ann", "key.create", prefix),
        ("cli:bob", "key.rotate", prefix),
        ("http:abcdefgh", "key.revoke", prefix),
    ]


def test_a_change_that_fails_leaves_no_event(database: Database, clock: Clock) -> None:
    same = Keys(database, now=clock, choose=lambda text: text[0])
    same.create(ANN, "cli:root")
    with pytest.raises(StateError, match="UNIQUE"):
        same.create(ANN, "cli:root")
    assert len(events(database)) == 1
    assert revision(database) == 1


def test_a_key_that_another_release_wrote_is_named(keys: Keys, database: Database) -> None:
    prefix = keys.create(ANN, "cli:root").key.prefix
    with database.transaction() as connection:
        connection.execute(text("UPDATE api_keys SET limits = '{\"tokens_per_year\": 1}'"))
    with pytest.raises(StateError, match=f"API key {prefix} holds .*tokens_per_year"):
        keys.list()
