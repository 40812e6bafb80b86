"""Models that are divided between ranks."""

from __future__ import annotations

from cluster.grafana.boards.parts import BAD_ABOVE_0, MEMORY_PAGE, RAY_APPLICATION, RAY_NODES, SCALING_PAGE, warn
from cluster.grafana.layout import Annotation, Colour, Dashboard, Kind, Panel, Query, Row, Shown
from cluster.grafana.promql import most, series, total
from deployments.metrics import replica_rows as replica

_OF_RANK = (MEMORY_PAGE, RAY_APPLICATION)
_OF_NODE = (MEMORY_PAGE, RAY_NODES)
_OF_GROUP = (SCALING_PAGE, RAY_APPLICATION)
_RANK = ("application", "replica", "rank")
_RANK_NAMED = "{{application}} rank {{rank}}"
_NEEDS = "a model divided between ranks"

_GROUPS = Row(
    "Groups",
    (
        Panel(
            kind=Kind.STATES,
            title="Starting",
            description="When a group starts, and what the one before it has failed of, if one has.",
            queries=(Query(most(replica.GROUP_STARTING, ("application", "after")), "{{application}} {{after}}"),),
            links=_OF_GROUP,
            states={0: Shown("serves", Colour.GREEN), 1: Shown("starts", Colour.YELLOW)},
            needs=_NEEDS,
        ),
        Panel(
            title="Ranks that serve",
            description="Ranks of each group that serve. A group that has lost one starts anew as a whole.",
            queries=(Query(total(replica.GROUP_RANKS, ("application",)), "{{application}}"),),
            links=_OF_GROUP,
            needs=_NEEDS,
        ),
        Panel(
            title="Failures",
            description="Groups that have failed since Serve started, by what they failed of.",
            queries=(Query(most(replica.GROUP_FAILURES, ("application", "kind")), "{{application}} {{kind}}"),),
            links=_OF_GROUP,
            thresholds=BAD_ABOVE_0,
            needs=_NEEDS,
        ),
        Panel(
            kind=Kind.TABLE,
            title="Where the ranks are",
            description="The node of each rank, its pipeline stage and its tensor slice.",
            queries=(
                Query(
                    most(replica.GROUP_RANKS, ("application", "replica", "rank", "node", "stage", "slice")),
                    "serves",
                ),
            ),
            links=_OF_NODE,
            width=24,
            needs=_NEEDS,
        ),
    ),
)

_MEMORY = Row(
    "Memory of the ranks",
    (
        Panel(
            title="Planned",
            description="What is planned for each rank.",
            queries=(Query(total(replica.PLANNED, _RANK, rank=".+", term="total"), _RANK_NAMED),),
            unit="bytes",
            links=_OF_RANK,
            needs=_NEEDS,
        ),
        Panel(
            title="Measured",
            description="What each rank takes. Ranks of one group should not differ much.",
            queries=(Query(total(replica.MEASURED, _RANK, rank=".+", term="total"), _RANK_NAMED),),
            unit="bytes",
            links=_OF_RANK,
            needs=_NEEDS,
        ),
        Panel(
            title="Over plan",
            description="How far the most that was measured lies above what was planned.",
            queries=(Query(most(replica.DEVIATION, _RANK, rank=".+"), _RANK_NAMED),),
            unit="percentunit",
            links=_OF_RANK,
            thresholds=warn(0.05, 0.15),
            needs=_NEEDS,
        ),
    ),
)

BOARD = Dashboard(
    "stowage-groups",
    "Stowage / Parallel groups",
    "Models that are divided between ranks: where the ranks are, what they take, what their groups failed of.",
    (_GROUPS, _MEMORY),
    (),
    (
        Annotation(
            "Group failed",
            f"max by (application, kind) (changes({series(replica.GROUP_FAILURES)}[1m])) > 0",
            "{{application}} {{kind}}",
            Colour.RED,
        ),
    ),
)
