"""What is live, from the REST interface of Ray's dashboard. No Ray driver is started for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from cluster.http_get import Reply, UnreachableError, get
from deployments.routing.serve_details import ServeDetails
from deployments.routing.states import ApplicationView, read_status
from models.errors import ConfigError, StowageError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
_APPLICATIONS = "/api/serve/applications/"


@dataclass(frozen=True, slots=True)
class LiveApplication:
    """One Serve application, its state and reason in the words of ``/readyz``.

    ``planned_bytes`` is the memory that it asks for, for each replica.
    """

    name: str
    state: str
    num_running: int
    num_target: int
    reason: str | None = None
    planned_bytes: int | None = None


class Dashboard:
    """``address`` as in ``http://127.0.0.1:8265``; ``token`` for clusters with token authentication."""

    def __init__(self, address: str, token: str | None = None, timeout_s: float = 10.0) -> None:
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
            raise ConfigError(f"{address!r} is not a dashboard address", remedy=f"write it as {DEFAULT_ADDRESS}")
        self._address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s

    def applications(self) -> list[LiveApplication]:
        """Every Serve application, sorted by name. StowageError when the dashboard does not tell."""
        reply = self._get(_APPLICATIONS)
        try:
            details = ServeDetails.model_validate_json(reply.body)
        except ValidationError as error:
            raise StowageError(
                f"{self._address} did not answer like a Ray dashboard: {error.errors()[0]['msg']}",
                remedy="is this the address of the dashboard, and not that of the HTTP proxy?",
            ) from error
        now_unix_s = time.time()
        return [_live(view, now_unix_s) for view in details.views()]

    def _get(self, path: str) -> Reply:
        try:
            reply = get(self._address + path, timeout_s=self._timeout_s, headers=self._headers)
        except UnreachableError as error:
            raise StowageError(
                f"no Ray dashboard answers at {error}",
                remedy="start the cluster, or give its dashboard with --address",
            ) from error
        if reply.status in (401, 403):
            raise StowageError(
                f"the Ray dashboard at {self._address} refuses this token (HTTP {reply.status})",
                remedy="set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or put the token into ~/.ray/auth_token",
            )
        if reply.status != 200:
            text = reply.body[:200].decode(errors="replace")
            raise StowageError(f"the Ray dashboard at {self._address} answered HTTP {reply.status}: {text}")
        return reply


def read_token(environ: Mapping[str, str], home: Path) -> str | None:
    """The cluster's token, looked for where Ray looks, in Ray's order; None when there is none.

    Source: Ray's documentation, "Token authentication". As in Ray, a RAY_AUTH_TOKEN_PATH that cannot be read is
    an error and not passed over.
    """
    if environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if token := environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    given = environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(given) if given else home / ".ray" / "auth_token"
    if not given and not path.exists():
        return None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read Ray's token: {error}", remedy="correct RAY_AUTH_TOKEN_PATH") from error


def _live(view: ApplicationView, now_unix_s: float) -> LiveApplication:
    state, reason = read_status(view, None, now_unix_s)  # the reply does not say what is free
    memory = view.required_resources.get("memory")
    return LiveApplication(
        name=view.name,
        state=state,
        num_running=sum(replica.state == "RUNNING" for replica in view.replicas),
        num_target=view.target_num_replicas,
        reason=reason,
        planned_bytes=int(memory) if memory else None,
    )
