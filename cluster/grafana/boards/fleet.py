"""All models at a glance: what an operator leaves open."""

from __future__ import annotations

from cluster.grafana.boards.parts import (
    ANSWERED,
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
    failed_share,
    warn,
)
from cluster.grafana.boards.ray_metrics import NODE_MEMORY
from cluster.grafana.layout import Dashboard, Kind, Link, Panel, Query, Row, Threshold
from cluster.grafana.promql import coded, most, per_second, quantile, series, total
from deployments.metrics import replica_rows as replica
from deployments.metrics import router_rows as router

_FAILED = failed_share(VERSION, model=".+")
_RUNNING = total(replica.ENGINE_RUNNING, VERSION, model=".+")


def _now(
    title: str,
    description: str,
    query: Query,
    link: Link,
    thresholds: tuple[Threshold, ...] = (),
    ray: Link = RAY_SERVE,
) -> Panel:
    """One number; ``query`` brings its unit."""
    return Panel(
        kind=Kind.STAT,
        title=title,
        description=description,
        queries=(query,),
        unit=query.unit or "short",
        links=(link, ray),
        thresholds=thresholds,
        width=4,
        height=4,
    )


def _versions(statuses: str) -> Query:
    return Query(f"sum({most(router.MODEL_STATUS, (*VERSION, 'status'), status=statuses)})", "versions")


_FAILED_OF_ALL = (
    f"({per_second(router.REQUESTS, outcome='failed')} or vector(0)) / "
    f"({per_second(router.REQUESTS, outcome=ANSWERED)} > 0)"
)
_NOW = Row(
    "Now",
    (
        _now(
            "Ready or asleep",
            "Versions that serve, or that the next request wakes.",
            _versions("ready|asleep"),
            FLEET_PAGE,
        ),
        _now(
            "Not ready",
            "Versions that have failed or wait for room. `stowage status` says why.",
            _versions("failed|waiting"),
            FLEET_PAGE,
            BAD_ABOVE_0,
        ),
        _now(
            "Requests",
            "Requests a second that have ended, over all models.",
            Query(per_second(router.REQUESTS), "requests", "reqps"),
            ROUTER_PAGE,
        ),
        _now(
            "Failed",
            "Share of the answered requests that failed through no fault of the caller.",
            Query(_FAILED_OF_ALL, "failed", "percentunit"),
            ROUTER_PAGE,
            warn(0.001, 0.01),
        ),
        _now(
            "Replicas over budget",
            "Replicas, or ranks of groups, that take more memory than was planned for them.",
            Query(total(replica.OVER_BUDGET), "replicas"),
            MEMORY_PAGE,
            BAD_ABOVE_0,
            RAY_NODES,
        ),
        _now(
            "Nodes",
            "Nodes of the cluster that report.",
            Query(f"count({series(NODE_MEMORY)})", "nodes"),
            SCALING_PAGE,
            ray=RAY_NODES,
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
