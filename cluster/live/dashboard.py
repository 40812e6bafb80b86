"""What is live, from the REST interface of Ray's dashboard. No Ray driver is started for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError

from cluster.live.http_get import Reply, UnreachableError, get
from cluster.live.live_nodes import NODES_PATH, NodesReply
from deployments.routing.live_versions import LiveVersions
from deployments.routing.run_time import RunTimeNote
from deployments.routing.serve_details import ServeDetails
from deployments.routing.states import ApplicationView, read_states, read_status
from models.errors import ConfigError, StowageError
from models.hardware import Node
from models.nodes import read_nodes

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
_APPLICATIONS = "/api/serve/applications/"
_TARGETS = "/api/prometheus/sd"  # Prometheus' HTTP service discovery

Content = TypeVar("Content")


class _Targets(BaseModel):
    targets: list[str]


@dataclass(frozen=True, slots=True)
class LiveApplication:
    """One Serve application, its state and reason in the words of ``/readyz``.

    ``planned_bytes`` is the plan of one replica, for an application of others the memory that it asks Ray for.
    ``replicas`` are the ids of those that run. ``run_time``: what no file says of it.
    """

    name: str
    state: str
    num_running: int
    num_target: int
    reason: str | None = None
    planned_bytes: int | None = None
    replicas: tuple[str, ...] = ()
    run_time: RunTimeNote | None = None


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
        details = self._read(TypeAdapter(ServeDetails), _APPLICATIONS)
        now_unix_s = time.time()
        return [_live(view, now_unix_s) for view in details.views()]

    def versions(self) -> LiveVersions:
        """Every model version, in an application of its own or in a pool. StowageError as above."""
        details = self._read(TypeAdapter(ServeDetails), _APPLICATIONS)
        return LiveVersions(read_states(details.views(), None, time.time()))  # what is free it does not say

    def nodes(self) -> tuple[Node, ...]:
        """Every node that is alive, sorted by name. StowageError as above, ConfigError as ``read_nodes``."""
        return read_nodes(self._read(TypeAdapter(NodesReply), NODES_PATH).nodes())

    def metrics_addresses(self) -> list[str]:
        """``host:port`` of every process of the cluster that Prometheus is meant to ask. StowageError as above."""
        groups = self._read(TypeAdapter(list[_Targets]), _TARGETS)
        return sorted({address for group in groups for address in group.targets})

    def _read(self, expected: TypeAdapter[Content], path: str) -> Content:
        try:
            return expected.validate_json(self._get(path).body)
        except ValidationError as error:
            raise StowageError(
                f"{self._address} did not answer like a Ray dashboard: {error.errors()[0]['msg']}",
                remedy="is this the address of the dashboard, and not that of the HTTP proxy?",
            ) from error

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
    booked = view.required_resources.get("memory")
    planned = view.card.planned_bytes if view.card else booked
    running = tuple(replica.id for replica in view.replicas if replica.serves)
    return LiveApplication(
        name=view.name,
        state=state,
        num_running=len(running),
        num_target=view.target_num_replicas,
        reason=reason,
        planned_bytes=int(planned) if planned else None,
        replicas=running,
        run_time=view.run_time,
    )
