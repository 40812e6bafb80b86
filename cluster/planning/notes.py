"""What a plan that fits still has to say. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.planning.planned import ClusterPlan
from cluster.planning.updates import update_notes


def plan_notes(planned: ClusterPlan) -> Iterator[str]:
    """A sentence or two each."""
    if planned.booked_twice:
        yield (
            f"Ray counts the shared weights of {', '.join(planned.booked_twice)} once for each replica, and may "
            "find no room for what is planned: --write tells it the places, and then it counts them once."
        )
    yield from update_notes(planned)
