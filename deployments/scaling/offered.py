"""The load that is offered to a version: how many come, how long each takes, what has piled up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.scaling.load import Load, ReplicaLoad


@dataclass(frozen=True, slots=True)
class Offered:
    """``arrivals_per_s``: that come in; ``num_running``: in engines; ``num_waiting``: everywhere else.

    ``fresh``: the reports that count. The numbers are of all replicas: those that have not told, of which some
    may have begun only now, are taken to be as the others.
    """

    arrivals_per_s: float
    num_running: float
    num_waiting: float
    fresh: Sequence[ReplicaLoad]

    @property
    def num_requests(self) -> float:
        return self.num_running + self.num_waiting


def offered(load: Load, max_age_s: float) -> Offered | None:
    """None when neither a replica nor a router has told anything that is fresh."""
    fresh = [replica for replica in load.replicas if replica.age_s <= max_age_s]
    routers = load.routers if load.routers.age_s is not None and load.routers.age_s <= max_age_s else None
    if not fresh and routers is None:
        return None
    running = float(sum(replica.num_running for replica in fresh))
    in_replicas = sum(replica.num_waiting for replica in fresh)
    if routers is None:
        finished_per_s = sum(replica.finished_per_s for replica in fresh)
        missing = max(1.0, load.num_ready / len(fresh))
        return Offered(finished_per_s * missing, running * missing, in_replicas * missing, fresh)
    # What the routers have under way is in the replicas: more than these tell is in those that have not told.
    running = max(running, routers.num_under_way - in_replicas)
    return Offered(routers.arrivals_per_s, running, in_replicas + routers.num_waiting, fresh)
