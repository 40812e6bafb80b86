"""One model, or some: the choice at the top says which."""

from __future__ import annotations

from cluster.grafana.boards.parts import (
    CHOSEN,
    MEMORY_PAGE,
    NAMED,
    ONE_MODEL,
    RAY_SERVE,
    ROUTER_PAGE,
    SCALING_PAGE,
    STATUS_CODES,
    STATUS_SHOWN,
    VERSION,
    VERSIONS,
    warn,
)
from cluster.grafana.layout import Annotation, Colour, Dashboard, Kind, Panel, Query, Row
from cluster.grafana.promql import buckets, coded, most, per_second, quantile, ratio, series, total
from deployments.metrics import replica_rows as replica
from deployments.metrics import router_rows as router
from deployments.metrics.row import HistogramRow

_REPLICA = (*VERSION, "replica")
_SHARES = (0.5, 0.95, 0.99)
_TO_ROUTER = (ROUTER_PAGE, RAY_SERVE)
_TO_MEMORY = (MEMORY_PAGE, RAY_SERVE)
_TO_SCALING = (SCALING_PAGE, RAY_SERVE)

_TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            kind=Kind.STATES,
            title="Status",
            description="In which status the router sees the version.",
            queries=(Query(coded(router.MODEL_STATUS, VERSION, "status", STATUS_CODES, **CHOSEN), NAMED),),
            links=_TO_SCALING,
            states=STATUS_SHOWN,
            width=24,
            height=4,
        ),
        Panel(
            title="Requests",
            description="Requests a second that have ended, by their outcome.",
            queries=(Query(per_second(router.REQUESTS, ("outcome",), **CHOSEN), "{{outcome}}"),),
            unit="reqps",
            links=_TO_ROUTER,
            stacked=True,
        ),
        Panel(
            title="Errors",
            description="Requests a second that ended in an error, by its code.",
            queries=(Query(per_second(router.REQUESTS, ("error",), error=".+", **CHOSEN), "{{error}}"),),
            unit="reqps",
            links=_TO_ROUTER,
            needs="a request that was refused or failed",
        ),
        Panel(
            title="Tokens",
            description="Tokens a second, as callers are charged for them.",
            queries=(
                Query(per_second(router.PROMPT_TOKENS, **CHOSEN), "asked"),
                Query(per_second(router.COMPLETION_TOKENS, **CHOSEN), "answered"),
            ),
            links=_TO_ROUTER,
        ),
    ),
)


def _times(title: str, description: str, metric: HistogramRow) -> Panel:
    """How long half of them take, and nearly all."""
    return Panel(
        title=title,
        description=description,
        queries=tuple(Query(quantile(share, metric, **CHOSEN), f"p{share * 100:.0f}") for share in _SHARES),
        unit="s",
        links=_TO_ROUTER,
    )


_LATENCY = Row(
    "Latency",
    (
        _times(
            "Requests",
            "From a request's arrival at the router to the last byte of its answer.",
            router.REQUEST_DURATION,
        ),
        _times(
            "Time to first token",
            "From a generation's arrival to its first token, cold starts and queues included.",
            router.FIRST_TOKEN,
        ),
        _times("Time between tokens", "From one part of a generation's answer to the next.", router.INTER_TOKEN),
        Panel(
            kind=Kind.HEATMAP,
            title="Requests by latency",
            description="How many requests a second ended within each time: two bands are two kinds of requests.",
            queries=(Query(buckets(router.REQUEST_DURATION, **CHOSEN), "{{le}}"),),
            unit="s",
            links=_TO_ROUTER,
            width=16,
        ),
        _times(
            "Waited for a place",
            "How long requests waited in the router for a place at the version.",
            router.QUEUE_TIME,
        ),
    ),
)

_ENGINE = Row(
    "Engine",
    (
        Panel(
            title="Requests in the engine",
            description="What each replica's engine works on, and what waits in it.",
            queries=(
                Query(total(replica.ENGINE_RUNNING, ("replica",), **CHOSEN), "{{replica}} running"),
                Query(total(replica.ENGINE_WAITING, ("replica",), **CHOSEN), "{{replica}} waiting"),
            ),
            links=_TO_SCALING,
        ),
        Panel(
            title="KV cache",
            description="Share of the pages of the KV cache that running requests hold. Full, requests wait.",
            queries=(
                Query(
                    ratio(
                        total(replica.KV_PAGES_USED, _REPLICA, **CHOSEN),
                        total(replica.KV_PAGES, _REPLICA, **CHOSEN),
                    ),
                    f"{NAMED} {{{{replica}}}}",
                ),
            ),
            unit="percentunit",
            links=_TO_MEMORY,
            thresholds=warn(0.8, 0.95),
            highest=1,
        ),
        Panel(
            title="Batch size",
            description="How many requests share one forward pass: half have so many at most, or 95%.",
            queries=tuple(
                Query(quantile(share, replica.BATCH_SIZE, VERSION, **CHOSEN), f"{NAMED} p{share * 100:.0f}")
                for share in (0.5, 0.95)
            ),
            links=_TO_SCALING,
        ),
        Panel(
            title="Busy",
            description="Share of the time in which a replica's engine computes. At 1 it can do no more.",
            queries=(Query(per_second(replica.BUSY, ("replica",), **CHOSEN), "{{replica}}"),),
            unit="percentunit",
            links=_TO_SCALING,
            thresholds=warn(0.8, 0.95),
            highest=1,
        ),
        Panel(
            title="Tokens in the engine",
            description="Tokens a second that the engine reads and writes.",
            queries=(
                Query(per_second(replica.ENGINE_PROMPT_TOKENS, VERSION, **CHOSEN), f"{NAMED} prompt"),
                Query(per_second(replica.ENGINE_COMPLETION_TOKENS, VERSION, **CHOSEN), f"{NAMED} completion"),
            ),
            links=_TO_SCALING,
        ),
        Panel(
            title="Prompts from the cache",
            description="Share of the prompts' tokens that an earlier request had left in the KV cache.",
            queries=(
                Query(
                    ratio(
                        per_second(replica.PREFIX_HIT_TOKENS, VERSION, **CHOSEN),
                        per_second(replica.ENGINE_PROMPT_TOKENS, VERSION, **CHOSEN),
                    ),
                    NAMED,
                ),
            ),
            unit="percentunit",
            links=_TO_MEMORY,
            highest=1,
        ),
    ),
)

_REPLICAS = Row(
    "Replicas",
    (
        Panel(
            title="Replicas",
            description="Replicas that are up.",
            queries=(Query(most(router.MODEL_REPLICAS, VERSION, **CHOSEN), NAMED),),
            links=_TO_SCALING,
        ),
        Panel(
            title="Memory",
            description="Of each replica what is planned, what it may take, and what it takes.",
            queries=(
                Query(total(replica.PLANNED, ("replica",), term="total", **CHOSEN), "{{replica}} planned"),
                Query(total(replica.BUDGET, ("replica",), **CHOSEN), "{{replica}} budget"),
                Query(total(replica.MEASURED, ("replica",), term="total", **CHOSEN), "{{replica}} measured"),
            ),
            unit="bytes",
            links=_TO_MEMORY,
        ),
        Panel(
            title="Start",
            description="How long each replica's start has taken, by phase.",
            queries=(
                Query(
                    most(replica.START_DURATION, ("replica", "phase"), phase="!total", **CHOSEN),
                    "{{replica}} {{phase}}",
                ),
            ),
            unit="s",
            links=_TO_SCALING,
            stacked=True,
        ),
    ),
)

BOARD = Dashboard(
    "stowage-model",
    "Stowage / Model",
    "One model: its traffic, its latency, its engine, its replicas.",
    (_TRAFFIC, _LATENCY, _ENGINE, _REPLICAS),
    (ONE_MODEL, VERSIONS),
    (
        Annotation(
            "Replica started",
            f"sum by (model, version) (increase({series(replica.STARTS, **CHOSEN)}[1m])) > 0",
            "{{model}}@{{version}}",
            Colour.BLUE,
        ),
    ),
)
