"""``/admin/models/{model}/scaling``: why there are so many replicas."""

from __future__ import annotations

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from deployments.api.http.call import call_of
from deployments.repository.accounts import ScalingAccounts
from deployments.scaling.account import ScalingAccount

_ACCOUNT = TypeAdapter(ScalingAccount)


class AdminScaling:
    """Answers operators."""

    def __init__(self, accounts: ScalingAccounts) -> None:
        self._accounts = accounts

    async def explain(self, request: Request) -> Response:
        """Why a version has as many replicas: the load, what binds, what comes next, the last changes."""
        account = await self._accounts.account(request.path_params["model"], call_of(request.scope))
        return Response(_ACCOUNT.dump_json(account), media_type="application/json")
