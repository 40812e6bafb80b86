"""The call that an ASGI scope carries."""

from __future__ import annotations

from starlette.types import Scope

from deployments.dataplane.call import Call

_SCOPE_KEY = "stowage.call"


def put_call(scope: Scope, call: Call) -> None:
    """Attach the call to its ASGI scope."""
    scope[_SCOPE_KEY] = call


def call_of(scope: Scope) -> Call:
    """The call that belongs to this ASGI scope."""
    call: Call = scope[_SCOPE_KEY]
    return call
