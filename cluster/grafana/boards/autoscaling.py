"""How many replicas there should be, how many there are, and how long they take to come."""

from __future__ import annotations

from cluster.grafana.boards.parts import (
    CHOSEN,
    FLEET_PAGE,
    MEMORY_PAGE,
    MODEL,
    NAMED,
    OF_MODEL,
    RAY_APPLICATION,
    RAY_NODES,
    VERSION,
    VERSIONS,
    warn,
)
from cluster.grafana.boards.ray_metrics import (
    ACTIVE_NODES,
    FAILED_NODES,
    HEALTHY_REPLICAS,
    PENDING_NODES,
    TARGET_REPLICAS,
)
from cluster.grafana.layout import Colour, Dashboard, Kind, Panel, Query, Row, Shown
from cluster.grafana.promql import coded, most, per_second, quantile, ratio, risen, series, total
from deployments.metrics import controller_rows as controller
from deployments.metrics import replica_rows as replica
from deployments.metrics import router_rows as router

# Serve names applications, which are those of the models and their versions.
_APPLICATION = {"application": "($model)@($version)"}
_OF_APPLICATION = (FLEET_PAGE, RAY_APPLICATION)
_OF_NODES = (MEMORY_PAGE, RAY_NODES)
_NEEDS = "a model whose replicas are autoscaled"

_CAUSE_SHOWN = {
    9: Shown("load", Colour.GREEN),
    8: Shown("schedule", Colour.GREEN),
    7: Shown("min_replicas", Colour.BLUE),
    6: Shown("idle", Colour.BLUE),
    5: Shown("not idle yet", Colour.BLUE),
    4: Shown("stabilisation", Colour.YELLOW),
    3: Shown("max_step", Colour.YELLOW),
    2: Shown("max_replicas", Colour.RED),
    1: Shown("no reports", Colour.GREY),
}
_CAUSE_CODES = {shown.text: code for code, shown in _CAUSE_SHOWN.items()}

_REPLICAS = Row(
    "Replicas",
    (
        Panel(
            title="Target and replicas",
            description="How many replicas Serve aims for, and how many are healthy. Apart for long: nodes are "
            "missing, or starts fail.",
            queries=(
                Query(most(TARGET_REPLICAS, ("application",), **_APPLICATION), "{{application}} target"),
                Query(total(HEALTHY_REPLICAS, ("application",), **_APPLICATION), "{{application}} healthy"),
            ),
            links=_OF_APPLICATION,
        ),
        Panel(
            title="Wish",
            description="How many replicas the load alone asks for, before bounds and brakes.",
            queries=(Query(most(controller.SCALING_WISH, ("application",), **_APPLICATION), "{{application}}"),),
            links=_OF_APPLICATION,
            needs=_NEEDS,
        ),
        Panel(
            title="Changes",
            description="Changes of the number of replicas in an hour, by what bound it then.",
            queries=(
                Query(
                    risen(controller.SCALING_CHANGES, "1h", ("application", "cause"), **_APPLICATION),
                    "{{application}} {{cause}}",
                ),
            ),
            links=_OF_APPLICATION,
            needs="a change of the number of replicas",
        ),
        Panel(
            kind=Kind.STATES,
            title="Bound by",
            description="Why there are as many replicas as there are, of each version that scales by its load.",
            queries=(
                Query(
                    coded(controller.SCALING_CAUSE, ("application",), "cause", _CAUSE_CODES, **_APPLICATION),
                    "{{application}}",
                ),
            ),
            links=_OF_APPLICATION,
            states=_CAUSE_SHOWN,
            width=24,
            height=6,
            needs=_NEEDS,
        ),
    ),
)

_PRESSURE = Row(
    "Pressure",
    (
        Panel(
            title="Queue",
            description="Requests that wait for a place at the version, and those held until it is up.",
            queries=(
                Query(total(router.WAITING, VERSION, **CHOSEN), f"{NAMED} waiting"),
                Query(total(router.HELD, VERSION, **CHOSEN), f"{NAMED} held"),
            ),
            links=OF_MODEL,
            thresholds=warn(10, 100),
        ),
        Panel(
            title="Time in the queue",
            description="95% of the requests waited at most so long for a place.",
            queries=(Query(quantile(0.95, router.QUEUE_TIME, VERSION, **CHOSEN), NAMED),),
            unit="s",
            links=OF_MODEL,
        ),
        Panel(
            title="Busy",
            description="Share of the time in which the engines of a version compute, over its replicas.",
            queries=(
                Query(
                    ratio(
                        per_second(replica.BUSY, VERSION, **CHOSEN),
                        f"count by (model, version) ({series(replica.BUSY, **CHOSEN)})",
                    ),
                    NAMED,
                ),
            ),
            unit="percentunit",
            links=OF_MODEL,
            thresholds=warn(0.8, 0.95),
            highest=1,
        ),
    ),
)

_STARTS = Row(
    "Starts",
    (
        Panel(
            title="Cold starts",
            description="Requests an hour that found their version asleep or starting, by how that ended.",
            queries=(
                Query(
                    f"{per_second(router.COLD_STARTS, (*VERSION, 'result'), **CHOSEN)} * 3600",
                    f"{NAMED} {{{{result}}}}",
                ),
            ),
            links=OF_MODEL,
            needs="a version that sleeps",
        ),
        Panel(
            title="Time of a cold start",
            description="From the request that woke a version to its being up: half of them, and 95%.",
            queries=tuple(
                Query(
                    quantile(share, router.COLD_START_DURATION, VERSION, **CHOSEN), f"{NAMED} p{share * 100:.0f}"
                )
                for share in (0.5, 0.95)
            ),
            unit="s",
            links=OF_MODEL,
            needs="a version that sleeps",
        ),
        Panel(
            title="Looked ahead",
            description="How far ahead the autoscaler looks: what three of four of the last starts took at most.",
            queries=(
                Query(most(controller.SCALING_COLD_START, ("application",), **_APPLICATION), "{{application}}"),
            ),
            unit="s",
            links=_OF_APPLICATION,
            needs=_NEEDS,
        ),
        Panel(
            title="Start by phase",
            description="How long the last starts of each version have taken: files, turn on the GPU, weights and "
            "warm-up.",
            queries=(
                Query(
                    most(replica.START_DURATION, (*VERSION, "phase"), phase="!total", **CHOSEN),
                    f"{NAMED} {{{{phase}}}}",
                ),
            ),
            unit="s",
            links=OF_MODEL,
            stacked=True,
            width=24,
        ),
    ),
)

_NODES = Row(
    "Nodes",
    (
        Panel(
            title="Nodes",
            description="Nodes that are up, by type.",
            queries=(Query(total(ACTIVE_NODES, ("NodeType",)), "{{NodeType}}"),),
            links=_OF_NODES,
            stacked=True,
            width=12,
        ),
        Panel(
            title="Nodes to come, and failed",
            description="Nodes that Ray's autoscaler has asked for, and nodes that have failed lately.",
            queries=(
                Query(total(PENDING_NODES, ("NodeType",)), "{{NodeType}} to come"),
                Query(total(FAILED_NODES, ("NodeType",)), "{{NodeType}} failed"),
            ),
            links=_OF_NODES,
            width=12,
            needs="a cluster whose nodes are autoscaled",
        ),
    ),
)

BOARD = Dashboard(
    "stowage-autoscaling",
    "Stowage / Autoscaling",
    "How many replicas and nodes there should be, how many there are, and how long they take to come.",
    (_REPLICAS, _PRESSURE, _STARTS, _NODES),
    (MODEL, VERSIONS),
)
