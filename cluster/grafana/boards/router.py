"""What comes in at the door, for whom, and what the router does with it."""

from __future__ import annotations

from cluster.grafana.boards.parts import (
    FLEET_PAGE,
    NAMED,
    OF_MODEL,
    RAY_ROUTER,
    RAY_SERVE,
    TENANT,
    TENANT_PAGE,
    UP_DOWN,
    VERSION,
    warn,
)
from cluster.grafana.layout import Colour, Dashboard, Kind, Panel, Query, Row, Shown, Threshold
from cluster.grafana.promql import coded, most, per_second, quantile, ratio, series, total
from deployments.metrics import router_rows as router

_CHOSEN = {"tenant": "$tenant"}
_OF_TENANT = (TENANT_PAGE, RAY_ROUTER)
_OF_DOOR = (FLEET_PAGE, RAY_SERVE)
_BREAKER_CODES = {"closed": 3, "half_open": 2, "open": 1}
_BREAKER_SHOWN = {
    3: Shown("closed", Colour.GREEN),
    2: Shown("half open", Colour.YELLOW),
    1: Shown("open", Colour.RED),
}
_LIMIT = ("scope", "name", "limit")
_LIMIT_NAMED = "{{scope}} {{name}} {{limit}}"

_DOOR = Row(
    "Door",
    (
        Panel(
            title="Requests by protocol",
            description="Requests a second that have ended.",
            queries=(
                Query(
                    per_second(router.REQUESTS, ("protocol", "operation"), **_CHOSEN), "{{protocol}} {{operation}}"
                ),
            ),
            unit="reqps",
            links=_OF_DOOR,
            stacked=True,
        ),
        Panel(
            title="Requests by outcome",
            description="Refused: the caller has to change something, or to come later. Failed: our fault.",
            queries=(Query(per_second(router.REQUESTS, ("outcome",), **_CHOSEN), "{{outcome}}"),),
            unit="reqps",
            links=_OF_DOOR,
            stacked=True,
        ),
        Panel(
            title="Under way",
            description="Requests that versions work on, and those of them whose answer is being streamed.",
            queries=(
                Query(total(router.UNDER_WAY), "under way"),
                Query(f"{total(router.OPEN_STREAMS)} or vector(0)", "streams"),
            ),
            links=_OF_DOOR,
        ),
    ),
)

_TENANTS = Row(
    "Tenants",
    (
        Panel(
            title="Requests by tenant",
            description="Requests a second that have ended.",
            queries=(Query(per_second(router.REQUESTS, ("tenant",), **_CHOSEN), "{{tenant}}"),),
            unit="reqps",
            links=_OF_TENANT,
            stacked=True,
        ),
        Panel(
            title="Tokens by tenant",
            description="Tokens a second, asked and answered together.",
            queries=(
                Query(
                    f"{per_second(router.PROMPT_TOKENS, ('tenant',), **_CHOSEN)} "
                    f"+ {per_second(router.COMPLETION_TOKENS, ('tenant',), **_CHOSEN)}",
                    "{{tenant}}",
                ),
            ),
            links=_OF_TENANT,
            stacked=True,
        ),
        Panel(
            title="Cost by tenant",
            description="What an hour at this rate costs, in the currency in which the prices are written.",
            queries=(Query(f"{per_second(router.COST, ('tenant',), **_CHOSEN)} * 3600", "{{tenant}}"),),
            links=_OF_TENANT,
            stacked=True,
            needs="a price",
        ),
        Panel(
            title="Limits used",
            description="Share of each limit that is used in its window, as far as the routers know.",
            queries=(Query(most(router.LIMIT_USED, _LIMIT), _LIMIT_NAMED),),
            unit="percentunit",
            links=_OF_DOOR,
            thresholds=warn(0.8, 1.0),
            needs="a limit",
        ),
        Panel(
            title="Refused by a limit",
            description="Requests a second that a limit of a key, tenant or model refused.",
            queries=(
                Query(
                    per_second(router.LIMIT_REFUSALS, ("tenant", "scope", "limit"), **_CHOSEN),
                    "{{tenant}}: {{scope}} {{limit}}",
                ),
            ),
            unit="reqps",
            links=_OF_TENANT,
            needs="a limit, and a request beyond it",
        ),
        Panel(
            title="Errors by tenant",
            description="Requests a second that were refused or failed, by the error's code.",
            queries=(
                Query(
                    per_second(router.REQUESTS, ("tenant", "error"), error=".+", **_CHOSEN), "{{tenant}} {{error}}"
                ),
            ),
            unit="reqps",
            links=_OF_TENANT,
            needs="a request that was refused or failed",
        ),
    ),
)

_QUEUES = Row(
    "Queues",
    (
        Panel(
            title="Waiting",
            description="Requests that wait for a place at a version.",
            queries=(Query(total(router.WAITING, VERSION), NAMED),),
            links=OF_MODEL,
            thresholds=warn(10, 100),
        ),
        Panel(
            title="Places taken",
            description="Share of the places at each version that are taken. At 1 requests wait.",
            queries=(Query(ratio(total(router.UNDER_WAY, VERSION), total(router.PLACES, VERSION)), NAMED),),
            unit="percentunit",
            links=OF_MODEL,
            thresholds=warn(0.8, 1.0),
        ),
        Panel(
            title="Time in the queue",
            description="95% of the requests waited at most so long for a place.",
            queries=(Query(quantile(0.95, router.QUEUE_TIME, VERSION), NAMED),),
            unit="s",
            links=OF_MODEL,
        ),
    ),
)

_ROUTES = Row(
    "Routes",
    (
        Panel(
            title="Why this version",
            description="Versions chosen a second, by the reason: its route, rollout, fallback, retry, hedge.",
            queries=(Query(per_second(router.DECISIONS, (*VERSION, "reason")), f"{NAMED} {{{{reason}}}}"),),
            unit="ops",
            links=OF_MODEL,
            stacked=True,
        ),
        Panel(
            title="Attempts that failed",
            description="Times a second that a version was asked and did not answer well. Retries and fallbacks "
            "hide them from callers.",
            queries=(
                Query(
                    per_second(router.ATTEMPTS, (*VERSION, "outcome"), outcome="!ok"), f"{NAMED} {{{{outcome}}}}"
                ),
            ),
            unit="ops",
            links=OF_MODEL,
            needs="an attempt that failed",
        ),
        Panel(
            kind=Kind.STATES,
            title="Circuit breakers",
            description="Open: the version is left alone for a while because it failed too often.",
            queries=(Query(coded(router.BREAKER_STATE, VERSION, "state", _BREAKER_CODES), NAMED),),
            links=OF_MODEL,
            states=_BREAKER_SHOWN,
        ),
        Panel(
            title="Retry budget used",
            description="Share of each route's budget of retries that is used. At 1 there are no more retries.",
            queries=(Query(most(router.RETRY_BUDGET, ("route",)), "{{route}}"),),
            unit="percentunit",
            links=_OF_DOOR,
            thresholds=warn(0.5, 1.0),
            needs="a route with retries",
        ),
        Panel(
            title="Shadow copies",
            description="Copies a second, by whether their answer agreed with the original's.",
            queries=(Query(per_second(router.SHADOWS, (*VERSION, "agreement")), f"{NAMED} {{{{agreement}}}}"),),
            unit="ops",
            links=OF_MODEL,
            needs="a route with a shadow",
        ),
    ),
)

_BOOKS = Row(
    "Books",
    (
        Panel(
            kind=Kind.STATES,
            title="State database and journal",
            description="Whether every router reaches the state database and can write its audit journal.",
            queries=(
                Query(f"min({series(router.STATE_UP)})", "state database"),
                Query(f"min({series(router.JOURNAL_UP)})", "journal"),
            ),
            links=_OF_DOOR,
            states=UP_DOWN,
        ),
        Panel(
            title="Not yet counted",
            description="Bytes of the journal that wait for the state database. Limits and budgets lag by them.",
            queries=(Query(f"sum({series(router.UNCOUNTED)})", "bytes"),),
            unit="bytes",
            links=_OF_DOOR,
            thresholds=(Threshold(64 * 2**20, Colour.YELLOW), Threshold(512 * 2**20, Colour.RED)),
        ),
        Panel(
            title="Not yet written, and lost",
            description="Records that wait in memory for the journal's disk, and those given up since the start.",
            queries=(
                Query(f"sum({series(router.UNWRITTEN)})", "waiting"),
                Query(f"sum({series(router.LOST)}) or vector(0)", "lost"),
            ),
            links=_OF_DOOR,
            thresholds=warn(1000, 10000),
        ),
    ),
)

BOARD = Dashboard(
    "stowage-router",
    "Stowage / Router and tenants",
    "What comes in, for whom, what it costs, where it is sent, and whether the books are kept.",
    (_DOOR, _TENANTS, _QUEUES, _ROUTES, _BOOKS),
    (TENANT,),
)
