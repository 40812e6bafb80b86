"""Planned beside measured: of each replica, each term, each node."""

from __future__ import annotations

from cluster.grafana.boards.parts import (
    BAD_ABOVE_0,
    FLEET_PAGE,
    MODEL,
    MODEL_PAGE,
    OF_MODEL,
    ON_OFF,
    RAY_APPLICATION,
    RAY_NODES,
    VERSION,
    VERSIONS,
    warn,
)
from cluster.grafana.boards.ray_metrics import GPU_MEMORY_USED, NODE_MEMORY, NODE_MEMORY_USED
from cluster.grafana.layout import Annotation, Colour, Dashboard, Kind, Panel, Query, Row
from cluster.grafana.promql import most, per_second, series, total
from deployments.metrics import replica_rows as replica

# A pool's memory is that of no single model: its own is empty.
_CHOSEN = {"model": "$model|", "version": "$version|"}
_RANK = (*VERSION, "application", "replica", "rank")
_NAMED = "{{replica}} {{rank}}"
_OF_NODE = (FLEET_PAGE, RAY_NODES)
_OF_REPLICA = (MODEL_PAGE, RAY_APPLICATION)
_OF_POOL = (FLEET_PAGE, RAY_APPLICATION)
_POOL = "a pool"

_DEVICES = Row(
    "Nodes and GPUs",
    (
        Panel(
            title="Planned and measured on each node",
            description="What is planned for the replicas of a node, and what they take: on its GPUs, or in its "
            "memory.",
            queries=(
                Query(total(replica.PLANNED, ("NodeAddress",), term="total"), "{{NodeAddress}} planned"),
                Query(total(replica.MEASURED, ("NodeAddress",), term="total"), "{{NodeAddress}} measured"),
                Query(total(replica.BUDGET, ("NodeAddress",)), "{{NodeAddress}} budgets"),
            ),
            unit="bytes",
            links=_OF_NODE,
            width=12,
        ),
        Panel(
            title="Memory of the nodes",
            description="All that the node's processes use, ours and others, and what there is.",
            queries=(
                Query(most(NODE_MEMORY_USED, ("instance",)), "{{instance}} used"),
                Query(most(NODE_MEMORY, ("instance",)), "{{instance}} total"),
            ),
            unit="bytes",
            links=_OF_NODE,
            width=6,
        ),
        Panel(
            title="Memory of the GPUs",
            description="All that the GPU's processes use, ours and others.",
            queries=(
                Query(f"{most(GPU_MEMORY_USED, ('instance', 'GpuIndex'))} * 1048576", "{{instance}} {{GpuIndex}}"),
            ),
            unit="bytes",
            links=_OF_NODE,
            width=6,
            needs="a GPU",
        ),
    ),
)

_REPLICAS = Row(
    "Replicas",
    (
        Panel(
            kind=Kind.TABLE,
            title="Planned and measured",
            description="Each replica, or rank of a group, on its device.",
            queries=(
                Query(total(replica.PLANNED, _RANK, term="total", **_CHOSEN), "planned", "bytes"),
                Query(total(replica.MEASURED, _RANK, term="total", **_CHOSEN), "measured", "bytes"),
                Query(total(replica.MEASURED, _RANK, term="peak", **_CHOSEN), "peak", "bytes"),
                Query(total(replica.BUDGET, _RANK, **_CHOSEN), "budget", "bytes"),
                Query(most(replica.DEVIATION, _RANK, **_CHOSEN), "over plan", "percentunit"),
            ),
            links=OF_MODEL,
            width=24,
        ),
        Panel(
            title="Over plan",
            description="How far the most that was measured lies above what was planned; 0.05 is 5% more. Below 0 "
            "the plan was generous.",
            queries=(Query(most(replica.DEVIATION, _RANK, **_CHOSEN), _NAMED),),
            unit="percentunit",
            links=_OF_REPLICA,
            thresholds=warn(0.05, 0.15),
        ),
        Panel(
            title="Of the budget",
            description="Share of its budget that each replica takes. At 1 it is over.",
            queries=(
                Query(
                    f"{total(replica.MEASURED, _RANK, term='total', **_CHOSEN)} / "
                    f"{total(replica.BUDGET, _RANK, **_CHOSEN)}",
                    _NAMED,
                ),
            ),
            unit="percentunit",
            links=_OF_REPLICA,
            thresholds=warn(0.9, 1.0),
        ),
        Panel(
            kind=Kind.STATES,
            title="Over budget",
            description="When each replica took more than its budget.",
            queries=(Query(most(replica.OVER_BUDGET, _RANK, **_CHOSEN), _NAMED),),
            links=_OF_REPLICA,
            thresholds=BAD_ABOVE_0,
            states=ON_OFF,
        ),
    ),
)

_TERMS = Row(
    "Terms",
    (
        Panel(
            title="Planned",
            description="What the plan is made of, over the chosen models.",
            queries=(Query(total(replica.PLANNED, ("term",), term="!total|host", **_CHOSEN), "{{term}}"),),
            unit="bytes",
            links=_OF_NODE,
            stacked=True,
        ),
        Panel(
            title="Measured",
            description="What the replicas measure of themselves, over the chosen models.",
            queries=(Query(total(replica.MEASURED, ("term",), **_CHOSEN), "{{term}}"),),
            unit="bytes",
            links=_OF_NODE,
        ),
        Panel(
            title="KV cache in use",
            description="Bytes of the KV cache that running requests hold, and those that are planned for it.",
            queries=(
                Query(
                    total(replica.MEASURED, VERSION, term="kv_cache", **_CHOSEN), "{{model}}@{{version}} in use"
                ),
                Query(
                    total(replica.PLANNED, VERSION, term="kv_cache", **_CHOSEN), "{{model}}@{{version}} planned"
                ),
            ),
            unit="bytes",
            links=OF_MODEL,
        ),
    ),
)

_POOLS = Row(
    "Pools",
    (
        Panel(
            title="Resident",
            description="Planned bytes of the models that a pool has loaded.",
            queries=(Query(total(replica.POOL_RESIDENT, VERSION, **_CHOSEN), "{{model}}@{{version}}"),),
            unit="bytes",
            links=OF_MODEL,
            stacked=True,
            needs=_POOL,
        ),
        Panel(
            title="Loads and evictions",
            description="How often a second a pool loads and closes models. Both high: its budget is too small.",
            queries=(
                Query(per_second(replica.POOL_LOADS, ("application",)), "{{application}} loads"),
                Query(per_second(replica.POOL_EVICTIONS, ("application",)), "{{application}} evictions"),
                Query(per_second(replica.POOL_FAILURES, ("application",)), "{{application}} failures"),
            ),
            unit="ops",
            links=_OF_POOL,
            needs=_POOL,
        ),
        Panel(
            title="Found loaded",
            description="Share of the requests that found their model loaded.",
            queries=(
                Query(
                    f"{per_second(replica.POOL_HITS, ('application',))} / "
                    f"({per_second(replica.POOL_HITS, ('application',))} "
                    f"+ {per_second(replica.POOL_LOADS, ('application',))} > 0)",
                    "{{application}}",
                ),
            ),
            unit="percentunit",
            links=_OF_POOL,
            highest=1,
            needs=_POOL,
        ),
    ),
)

BOARD = Dashboard(
    "stowage-memory",
    "Stowage / Memory",
    "Planned beside measured, of each replica, each term of the plan and each node.",
    (_DEVICES, _REPLICAS, _TERMS, _POOLS),
    (MODEL, VERSIONS),
    (
        Annotation(
            "Over budget",
            f"sum by (replica) (increase({series(replica.OVER_BUDGET_EPISODES, **_CHOSEN)}[1m])) > 0",
            "{{replica}}",
            Colour.RED,
        ),
    ),
)
