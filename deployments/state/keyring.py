"""All API keys in memory, so that a request is authenticated without asking anyone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hmac import compare_digest

from deployments.identity.caller import Caller
from deployments.limits.limit_set import LimitSet
from deployments.state.api_key import ApiKey, digest_text, read_prefix
from models.errors import AuthenticationError

_NO_DIGEST = "0" * 64  # of no text that anyone knows


class Keyring:
    """Immutable: made anew when a key changes."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.prefix: (key, key.caller) for key in keys}

    def __len__(self) -> int:
        """How many keys there are, those that are of no use any more included."""
        return len(self._keys)

    def identify(self, presented: str, now: float) -> Caller:
        """Whose key this is, at ``now`` in seconds since the epoch.

        AuthenticationError, in constant time for all that is not a key's whole text; why a key is of no use any
        more is told only to those who have it. No message holds what was presented.
        """
        digest = digest_text(presented)
        key, caller = self._keys.get(read_prefix(presented), (None, None))
        is_current = compare_digest(digest, key.digest if key else _NO_DIGEST)
        is_previous = compare_digest(digest, (key and key.previous_digest) or _NO_DIGEST)
        if key is None or caller is None or not (is_current or is_previous):
            raise AuthenticationError("invalid API key")
        _check_times(key, now, is_previous=is_previous)
        return caller

    def limits(self, prefix: str) -> LimitSet:
        """Those of one key: always the same object, for as long as this keyring."""
        return self._keys[prefix][0].grant.limits


def _check_times(key: ApiKey, now: float, *, is_previous: bool) -> None:
    if key.revoked_at is not None:
        raise AuthenticationError(f"API key {key.prefix} was revoked on {_day(key.revoked_at)}")
    if key.grant.expires_at is not None and now >= key.grant.expires_at:
        raise AuthenticationError(f"API key {key.prefix} expired on {_day(key.grant.expires_at)}")
    if is_previous and key.previous_until is not None and now >= key.previous_until:
        raise AuthenticationError(
            f"API key {key.prefix} was rotated, and its old text ended on {_day(key.previous_until)}",
            remedy="use the new one",
        )


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
