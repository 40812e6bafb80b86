"""The router with everything on: the API key that it asks for, whose limits are counted and never reached."""

from __future__ import annotations

from pathlib import Path

from deployments.limits.limit_set import LimitSet
from deployments.state.api_key import KeyGrant
from deployments.state.database import Database
from deployments.state.keys import Keys

AMPLE = LimitSet(requests_per_minute=10**7, tokens_per_minute=10**9, tokens_per_day=10**12)


def issue_key(folder: Path, grant: KeyGrant | None = None) -> str:
    """A new key in ``state.db`` of ``folder``, where the configurations of the benchmarks look for it."""
    with Database.open(f"sqlite:///{folder}/state.db") as database:
        granted = grant or KeyGrant(owner="benchmark", limits=AMPLE)
        return Keys(database).create(granted, actor="benchmark").text


def bearer(key: str) -> dict[str, str]:
    """The header that presents it."""
    return {"Authorization": f"Bearer {key}"}
