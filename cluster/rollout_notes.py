"""What rollouts do beyond the configuration, as other commands tell it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cluster.config.serve_config import load_config
from cluster.state_location import open_state
from deployments.state.location import state_url
from models.errors import StateError

_SQLITE = "sqlite:///"


def rollout_notes(config: Path) -> list[str]:
    """One line for each rollout that has its say where requests go, in the database that ``config`` names.

    A database that cannot be asked is a line too; none is made where there is none.
    """
    try:
        url = state_url(load_config(config).router_args.state, os.environ)
        if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).exists():
            return []
        return _read(url)
    except StateError as error:
        return [f"rollouts are not known: {error}"]


def _read(url: str) -> list[str]:
    from cluster.rollout_rows import status_note  # noqa: PLC0415  only what works on it waits for SQLAlchemy
    from deployments.state.rollouts import Rollouts  # noqa: PLC0415

    with open_state(url, None) as database:
        found = Rollouts(database).current()
    return [f"rollout of {status_note(rollout, stats, time.time())}" for rollout, stats in found]
