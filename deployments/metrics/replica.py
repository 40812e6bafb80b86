"""Which replica reports."""

from __future__ import annotations

from dataclasses import dataclass

from ray import serve


@dataclass(frozen=True, slots=True)
class Replica:
    """Its application and its id within that, as Serve names them."""

    application: str
    replica: str


def this_replica() -> Replica:
    """The replica in which this is called."""
    context = serve.get_replica_context()
    return Replica(context.app_name, context.replica_tag)
