"""All dashboards, in the order in which an operator comes to need them."""

from __future__ import annotations

from cluster.grafana.boards import autoscaling, fleet, groups, memory, model, rollouts, router

BOARDS = (
    fleet.BOARD,
    model.BOARD,
    memory.BOARD,
    router.BOARD,
    rollouts.BOARD,
    groups.BOARD,
    autoscaling.BOARD,
)
