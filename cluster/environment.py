"""The environment that `serve run` has on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.config.environment import SERVE_DEFAULTS


def serve_environment(own: Mapping[str, str], router: str = "router") -> dict[str, str]:
    """``own`` with the defaults for what it does not set; ``router`` is the name of the router's application.

    Without an address `serve run` joins any Ray that runs on this machine, and empties it when it ends.
    """
    return {"RAY_ADDRESS": "local", **SERVE_DEFAULTS, "STOWAGE_ROUTERS": router, **own}
