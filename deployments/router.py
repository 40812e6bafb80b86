"""The ingress: one ASGI application in front of every model."""

from __future__ import annotations

import asyncio

from pydantic import JsonValue
from ray import serve
from starlette.applications import Starlette

from deployments.api.app import build_app
from deployments.api.http.settings import ApiSettings
from deployments.args import RouterArgs
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.operations import DataPlane, Patience
from deployments.handles import ServeClients
from deployments.live import fetch_states
from deployments.routing.policy import RouterPolicy


@serve.ingress()
class Router:
    """Wires catalog, handles, data plane and protocols together; decides nothing itself."""

    def __init__(self, args: RouterArgs) -> None:
        self._args = args
        self._catalog = Catalog(fetch_states, args.status_period_s)
        self._dataplane = DataPlane(
            self._catalog,
            ServeClients(),
            RouterPolicy(),
            Patience(ready_s=args.ready_wait_s, wake_s=args.wake_wait_s),
        )

    async def __serve_build_asgi_app__(self) -> Starlette:
        await self._catalog.refresh()
        self._polling = asyncio.create_task(self._catalog.run())
        return build_app(
            self._dataplane,
            ApiSettings(
                request_timeout_s=self._args.request_timeout_s,
                max_request_timeout_s=self._args.max_request_timeout_s,
                max_body_bytes=self._args.max_body_bytes,
                adds_request_id=False,
            ),
        )

    def reconfigure(self, user_config: dict[str, JsonValue]) -> None:
        """Serve calls this with the config's ``user_config``, at the start and at every change of it."""
        self._dataplane.set_policy(RouterPolicy.model_validate(user_config))
