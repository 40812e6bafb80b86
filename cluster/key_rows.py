"""How API keys look: rows for people, plain values for machines. Never a key's text or digest."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from pydantic import JsonValue

from deployments.state.api_key import ApiKey

KEY_COLUMNS = ("prefix", "owner", "tenant", "roles", "models", "priority", "limits", "created", "state")

_SECRETS = {"digest", "previous_digest"}


def key_row(key: ApiKey, now: float) -> tuple[str, ...]:
    """One row of KEY_COLUMNS; ``now`` in seconds since the epoch."""
    grant = key.grant
    limits = grant.limits.model_dump(mode="json", exclude_none=True)
    return (
        key.prefix,
        grant.owner,
        grant.tenant,
        "\n".join(grant.roles),
        "all" if grant.models is None else "\n".join(grant.models),
        grant.priority,
        "\n".join(f"{name}={value}" for name, value in limits.items()),
        _time(key.created_at),
        _state(key, now),
    )


def key_json(key: ApiKey) -> dict[str, JsonValue]:
    """All that is known of a key; times in ISO 8601."""
    plain = {name: value for name, value in dataclasses.asdict(key).items() if name not in {*_SECRETS, "grant"}}
    values = {**plain, **key.grant.model_dump(mode="json")}
    return {name: _iso(value) if name.endswith(("_at", "_until")) else value for name, value in values.items()}


def _state(key: ApiKey, now: float) -> str:
    expires_at = key.grant.expires_at
    if key.revoked_at is not None:
        return f"revoked {_time(key.revoked_at)}"
    if expires_at is not None and now >= expires_at:
        return f"expired {_time(expires_at)}"
    state = "valid" if expires_at is None else f"valid until {_time(expires_at)}"
    if key.previous_until is not None and now < key.previous_until:
        state += f"; the text before until {_time(key.previous_until)}"
    return state


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
