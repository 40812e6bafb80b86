"""All models at a glance: what an operator leaves open."""

from __future__ import annotations

from cluster.grafana.boards.parts import (
    BAD_ABOVE_0,
    FLEET_PAGE,
    MEMORY_PAGE,
    NAMED,
    OF_MODEL,
    RAY_NODES,
    RAY_SERVE,
    ROUTER_PAGE,
    SCALING_PAGE,
    STATUS_CODES,
    STATUS_SHOWN,
    VERSION,
    warn,
)
from cluster.grafana.boards.ray_metrics import NODE_MEMORY
from cluster.grafana.layout import Dashboard, Kind, Panel, Query, Row
from cluster.grafana.promql import coded, most, per_second, quantile, ratio, series, total
from deployments.metrics import replica_rows as replica
from deployments.metrics import router_rows as router

ANSWERED = "ok|failed"
_FAILED = ratio(
    f"{per_second(router.REQUESTS, VERSION, outcome='failed', model='.+')} "
    f"or {per_second(router.REQUESTS, VERSION, outcome=ANSWERED, model='.+')} * 0",
    per_second(router.REQUESTS, VERSION, outcome=ANSWERED, model=".+"),
)
_RUNNING = total(replica.ENGINE_RUNNING, VERSION, model=".+")

_NOW = Row(
    "Now",
    (
        Panel(
            kind=Kind.STAT,
            title="Ready or asleep",
            description="Versions that serve, or that the next request wakes.",
            queries=(
                Query(
                    f"sum({most(router.MODEL_STATUS, (*VERSION, 'status'), status='ready|asleep')})", "versions"
                ),
            ),
            links=(FLEET_PAGE, RAY_SERVE),
            width=4,
            height=4,
        ),
        Panel(
            kind=Kind.STAT,
            title="Not ready",
            description="Versions that have failed or wait for room. `stowage status` says why.",
            queries=(
                Query(
                    f"sum({most(router.MODEL_STATUS, (*VERSION, 'status'), status='failed|waiting')})", "versions"
                ),
            ),
            links=(FLEET_PAGE, RAY_SERVE),
            thresholds=BAD_ABOVE_0,
            width=4,
            height=4,
        ),
        Panel(
            kind=Kind.STAT,
            title="Requests",
            description="Requests a second that have ended, over all models.",
            queries=(Query(per_second(router.REQUESTS), "requests"),),
            unit="reqps",
            links=(ROUTER_PAGE, RAY_SERVE),
            width=4,
            height=4,
        ),
        Panel(
            kind=Kind.STAT,
            title="Failed",
            description="Share of the answered requests that failed through no fault of the caller.",
            queries=(
                Query(
                    f"({per_second(router.REQUESTS, outcome='failed')} or vector(0)) / "
                    f"({per_second(router.REQUESTS, outcome=ANSWERED)} > 0)",
                    "failed",
                ),
            ),
            unit="percentunit",
            links=(ROUTER_PAGE, RAY_SERVE),
            thresholds=warn(0.001, 0.01),
            width=4,
            height=4,
        ),
        Panel(
            kind=Kind.STAT,
            title="Replicas over budget",
            description="Replicas, or ranks of groups, that take more memory than was planned for them.",
            queries=(Query(total(replica.OVER_BUDGET), "replicas"),),
            links=(MEMORY_PAGE, RAY_NODES),
            thresholds=BAD_ABOVE_0,
            width=4,
            height=4,
        ),
        Panel(
            kind=Kind.STAT,
            title="Nodes",
            description="Nodes of the cluster that report.",
            queries=(Query(f"count({series(NODE_MEMORY)})", "nodes"),),
            links=(SCALING_PAGE, RAY_NODES),
            width=4,
            height=4,
        ),
    ),
)

_MODELS = Row(
    "Models",
    (
        Panel(
            kind=Kind.TABLE,
            title="Models",
            description="Every version that the router knows. A click on its name leads to its own dashboard.",
            queries=(
                Query(coded(router.MODEL_STATUS, VERSION, "status", STATUS_CODES), "status"),
                Query(most(router.MODEL_REPLICAS, VERSION), "replicas"),
                Query(per_second(router.REQUESTS, VERSION, model=".+"), "requests", "reqps"),
                Query(_FAILED, "failed", "percentunit"),
                Query(quantile(0.95, router.REQUEST_DURATION, VERSION, model=".+"), "latency p95", "s"),
                Query(quantile(0.95, router.FIRST_TOKEN, VERSION, model=".+"), "first token p95", "s"),
                Query(total(router.WAITING, VERSION), "waiting"),
                Query(
                    f"max by (model, version) ({series(replica.KV_PAGES_USED)} / {series(replica.KV_PAGES)})",
                    "KV cache",
                    "percentunit",
                ),
                Query(
                    f"max by (model, version) ({series(replica.DEVIATION, model='.+')})",
                    "over plan",
                    "percentunit",
                ),
            ),
            links=OF_MODEL,
            states=STATUS_SHOWN,
            width=24,
            height=10,
        ),
        Panel(
            kind=Kind.STATES,
            title="Status",
            description="In which status the router sees each version.",
            queries=(Query(coded(router.MODEL_STATUS, VERSION, "status", STATUS_CODES), NAMED),),
            links=OF_MODEL,
            states=STATUS_SHOWN,
            width=24,
        ),
    ),
)

_LOAD = Row(
    "Load",
    (
        Panel(
            title="Requests by model",
            description="Requests a second that have ended.",
            queries=(Query(per_second(router.REQUESTS, VERSION, model=".+"), NAMED),),
            unit="reqps",
            links=OF_MODEL,
            stacked=True,
        ),
        Panel(
            title="Latency by model",
            description="95% of the requests end within this time, from their arrival to the last byte.",
            queries=(Query(quantile(0.95, router.REQUEST_DURATION, VERSION, model=".+"), NAMED),),
            unit="s",
            links=OF_MODEL,
        ),
        Panel(
            title="Failed by model",
            description="Share of the answered requests that failed through no fault of the caller.",
            queries=(Query(_FAILED, NAMED),),
            unit="percentunit",
            links=OF_MODEL,
            thresholds=warn(0.001, 0.01),
        ),
        Panel(
            title="Tokens by model",
            description="Tokens a second that were answered.",
            queries=(Query(per_second(router.COMPLETION_TOKENS, VERSION), NAMED),),
            unit="short",
            links=OF_MODEL,
            stacked=True,
        ),
        Panel(
            title="Waiting by model",
            description="Requests that wait for a place at the version, or for it to be up.",
            queries=(Query(f"{total(router.WAITING, VERSION)} + {total(router.HELD, VERSION)}", NAMED),),
            links=OF_MODEL,
            thresholds=warn(10, 100),
        ),
        Panel(
            title="In work by model",
            description="Requests that the engines work on.",
            queries=(Query(_RUNNING, NAMED),),
            links=OF_MODEL,
            stacked=True,
        ),
    ),
)

BOARD = Dashboard(
    "stowage-fleet",
    "Stowage / Fleet",
    "All models: what is up, what they answer, what is wrong.",
    (_NOW, _MODELS, _LOAD),
)
