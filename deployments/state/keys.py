"""API keys in the state database, and every change that administrators make to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from secrets import choice
from typing import Any

from pydantic import JsonValue, ValidationError
from sqlalchemy import Connection, Row, insert, select, update

from deployments.state.admin_events import note_change
from deployments.state.api_key import ApiKey, Choose, IssuedKey, KeyGrant, digest_text, make_prefix, make_text
from deployments.state.database import Database
from deployments.state.revisions import Topic, bump
from deployments.state.schema import API_KEYS
from models.errors import InvalidRequestError, StateError


class Keys:
    """Each change is a transaction, with its event and a new revision. ``actor``: who makes it, as ``cli:ann``."""

    def __init__(
        self, database: Database, *, now: Callable[[], float] = time.time, choose: Choose = choice
    ) -> None:
        self._database = database
        self._now = now
        self._choose = choose

    def list(self) -> tuple[ApiKey, ...]:
        """All, the revoked and expired included, oldest first."""
        with self._database.read() as connection:
            return read_keys(connection)

    def create(self, grant: KeyGrant, actor: str) -> IssuedKey:
        """A new key."""
        prefix, now = make_prefix(self._choose), self._now()
        text = make_text(prefix, self._choose)
        key = ApiKey(prefix, digest_text(text), grant, created_at=now)
        granted = grant.model_dump(mode="json", exclude_none=True)
        with self._database.transaction() as connection:
            values = {**granted, "prefix": prefix, "digest": key.digest, "created_at": now}
            connection.execute(insert(API_KEYS).values(values))
            _note(connection, now, actor, "key.create", prefix, granted)
        return IssuedKey(key, text)

    def rotate(self, prefix: str, grace_s: float, actor: str) -> IssuedKey:
        """A new text for the key; the one before goes on for ``grace_s``, and one before that ends now."""
        now, text = self._now(), make_text(prefix, self._choose)
        with self._database.transaction() as connection:
            before = _find_usable(connection, prefix, now)
            values = {
                "digest": digest_text(text),
                "rotated_at": now,
                "previous_digest": before.digest,
                "previous_until": now + grace_s,
            }
            key = _change(connection, prefix, values)
            _note(connection, now, actor, "key.rotate", prefix, {"grace_s": grace_s})
        return IssuedKey(key, text)

    def revoke(self, prefix: str, actor: str) -> ApiKey:
        """The key ends now, in all its texts. One that has ended this way before stays as it is."""
        now = self._now()
        with self._database.transaction() as connection:
            key = _find(connection, prefix)
            if key.revoked_at is None:
                key = _change(connection, prefix, {"revoked_at": now})
                _note(connection, now, actor, "key.revoke", prefix, {})
        return key


def read_keys(connection: Connection) -> tuple[ApiKey, ...]:
    """All keys, oldest first. StateError for what this release cannot read."""
    rows = connection.execute(select(API_KEYS).order_by(API_KEYS.c.created_at, API_KEYS.c.prefix))
    return tuple(map(_key, rows))


def _find(connection: Connection, prefix: str) -> ApiKey:
    row = connection.execute(select(API_KEYS).where(API_KEYS.c.prefix == prefix).with_for_update()).one_or_none()
    if row is None:
        raise InvalidRequestError(
            f"there is no API key {prefix!r}", remedy="`stowage keys list` shows those there are"
        )
    return _key(row)


def _find_usable(connection: Connection, prefix: str, now: float) -> ApiKey:
    key = _find(connection, prefix)
    expires_at = key.grant.expires_at
    if key.revoked_at is not None or (expires_at is not None and now >= expires_at):
        raise InvalidRequestError(f"API key {prefix!r} is revoked or expired", remedy="create a new one")
    return key


def _change(connection: Connection, prefix: str, values: dict[str, object]) -> ApiKey:
    changed = update(API_KEYS).where(API_KEYS.c.prefix == prefix).values(values).returning(API_KEYS)
    return _key(connection.execute(changed).one())


def _note(
    connection: Connection, now: float, actor: str, action: str, prefix: str, details: dict[str, JsonValue]
) -> None:
    note_change(connection, time=now, actor=actor, action=action, subject=prefix, details=details)
    bump(connection, Topic.KEYS)


def _key(row: Row[Any]) -> ApiKey:
    columns = row._mapping
    try:
        grant = KeyGrant.model_validate({name: columns[name] for name in KeyGrant.model_fields})
    except ValidationError as error:
        raise StateError(
            f"API key {row.prefix} holds what this release does not know: {error.errors()[0]['loc']}",
            remedy="use the release that made it, or a newer one",
        ) from error
    others = {name: columns[name] for name in ApiKey.__dataclass_fields__ if name != "grant"}
    return ApiKey(grant=grant, **others)
