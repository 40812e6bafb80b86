"""A new version beside the one that it takes over from."""

from __future__ import annotations

from cluster.grafana.boards.parts import (
    MODEL,
    NAMED,
    OF_MODEL,
    RAY_SERVE,
    ROUTER_PAGE,
    VERSION,
    failed_share,
    warn,
)
from cluster.grafana.layout import Annotation, Colour, Dashboard, Kind, Panel, Query, Row, Shown
from cluster.grafana.promql import coded, most, per_second, quantile, series
from deployments.metrics import router_rows as router

_ROLLOUT = ("route", "old", "new")
_ROLLOUT_NAMED = "{{route}}: {{old}} to {{new}}"
_TO_ROUTER = (ROUTER_PAGE, RAY_SERVE)
_CHOSEN = {"model": "$model"}
_NEEDS = "a rollout"
_CODES = {"running": 5, "paused": 4, "done": 3, "aborted": 2, "rolled_back": 1}
_SHOWN = {
    5: Shown("running", Colour.BLUE),
    4: Shown("paused", Colour.YELLOW),
    3: Shown("done", Colour.GREEN),
    2: Shown("aborted", Colour.ORANGE),
    1: Shown("rolled back", Colour.RED),
}

_COURSE = Row(
    "Course",
    (
        Panel(
            kind=Kind.STATES,
            title="Rollouts",
            description="The state of each rollout in force. `stowage rollout status` says why it is so.",
            queries=(Query(coded(router.ROLLOUT_STATE, _ROLLOUT, "state", _CODES), _ROLLOUT_NAMED),),
            links=_TO_ROUTER,
            states=_SHOWN,
            width=24,
            height=6,
            needs=_NEEDS,
        ),
        Panel(
            title="Share",
            description="The share of the requests that each version gets while a rollout is in force.",
            queries=(Query(most(router.ROLLOUT_SHARE, ("route", *VERSION), **_CHOSEN), NAMED),),
            unit="percentunit",
            links=OF_MODEL,
            stacked=True,
            highest=1,
            needs=_NEEDS,
        ),
        Panel(
            title="Step",
            description="The step in which each rollout is, from 1.",
            queries=(Query(most(router.ROLLOUT_STEP, _ROLLOUT), _ROLLOUT_NAMED),),
            links=_TO_ROUTER,
            needs=_NEEDS,
        ),
        Panel(
            title="Requests by version",
            description="Requests a second that each version really got.",
            queries=(Query(per_second(router.REQUESTS, VERSION, **_CHOSEN), NAMED),),
            unit="reqps",
            links=OF_MODEL,
            stacked=True,
        ),
    ),
)

_COMPARED = Row(
    "Old and new",
    (
        Panel(
            title="Failed",
            description="Share of the answered requests that failed, of each version.",
            queries=(Query(failed_share(VERSION, **_CHOSEN), NAMED),),
            unit="percentunit",
            links=OF_MODEL,
            thresholds=warn(0.001, 0.01),
        ),
        Panel(
            title="Latency",
            description="95% of each version's requests end within this time.",
            queries=(Query(quantile(0.95, router.REQUEST_DURATION, VERSION, **_CHOSEN), NAMED),),
            unit="s",
            links=OF_MODEL,
        ),
        Panel(
            title="Time to first token",
            description="95% of each version's generations begin to answer within this time.",
            queries=(Query(quantile(0.95, router.FIRST_TOKEN, VERSION, **_CHOSEN), NAMED),),
            unit="s",
            links=OF_MODEL,
        ),
    ),
)

BOARD = Dashboard(
    "stowage-rollouts",
    "Stowage / Rollouts",
    "How far a new version is, and how it does beside the old one.",
    (_COURSE, _COMPARED),
    (MODEL,),
    (
        Annotation(
            "Step",
            f"max by (route, new) (changes({series(router.ROLLOUT_STEP)}[1m])) > 0",
            "{{route}} to {{new}}",
            Colour.BLUE,
        ),
    ),
)
