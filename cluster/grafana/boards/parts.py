"""What several dashboards share: where clicks lead, choices, colours of states."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.grafana.layout import Colour, Link, Shown, Threshold, Variable
from cluster.grafana.promql import per_second, ratio
from deployments.metrics.router_rows import MODEL_STATUS, REQUESTS

_KEEP = "${__url_time_range}&var-datasource=${datasource:raw}&${SessionName:queryparam}"
_RAY = "${ray_dashboard:raw}/#"
_LABEL = "${{__field.labels.{}:percentencode}}"
_MODEL, _VERSION = _LABEL.format("model"), _LABEL.format("version")
_TENANT, _APPLICATION = _LABEL.format("tenant"), _LABEL.format("application")


def page(uid: str, title: str, chosen: str = "") -> Link:
    """Another dashboard of ours, at the same time and cluster."""
    return Link(title, f"/d/{uid}?{chosen}{_KEEP}")


FLEET_PAGE = page("stowage-fleet", "All models")
MEMORY_PAGE = page("stowage-memory", "Memory")
ROUTER_PAGE = page("stowage-router", "Router and tenants")
TENANT_PAGE = page("stowage-router", "This tenant", f"var-tenant={_TENANT}&")
ROLLOUTS_PAGE = page("stowage-rollouts", "Rollouts")
GROUPS_PAGE = page("stowage-groups", "Parallel groups")
SCALING_PAGE = page("stowage-autoscaling", "Autoscaling")
MODEL_PAGE = page("stowage-model", "This model", f"var-model={_MODEL}&var-version={_VERSION}&")
RAY_MODEL = Link("In Ray's dashboard", f"{_RAY}/serve/applications/{_MODEL}%40{_VERSION}", elsewhere=True)
RAY_APPLICATION = Link("In Ray's dashboard", f"{_RAY}/serve/applications/{_APPLICATION}", elsewhere=True)
RAY_ROUTER = Link("Router in Ray's dashboard", f"{_RAY}/serve/applications/router", elsewhere=True)
RAY_SERVE = Link("Serve in Ray's dashboard", f"{_RAY}/serve", elsewhere=True)
RAY_NODES = Link("Nodes in Ray's dashboard", f"{_RAY}/cluster", elsewhere=True)

OF_MODEL = (MODEL_PAGE, RAY_MODEL)
OF_ROUTER = (ROUTER_PAGE, RAY_ROUTER)

VERSION = ("model", "version")
NAMED = "{{model}}@{{version}}"

MODEL = Variable("model", "Model", MODEL_STATUS.exported)
ONE_MODEL = Variable("model", "Model", MODEL_STATUS.exported, several=False)
VERSIONS = Variable("version", "Version", MODEL_STATUS.exported)
TENANT = Variable("tenant", "Tenant", REQUESTS.exported)
CHOSEN = {"model": "$model", "version": "$version"}

STATUS_CODES = {"ready": 6, "asleep": 5, "starting": 4, "waiting": 3, "stopping": 2, "failed": 1}
STATUS_SHOWN = {
    6: Shown("ready", Colour.GREEN),
    5: Shown("asleep", Colour.BLUE),
    4: Shown("starting", Colour.YELLOW),
    3: Shown("waiting for room", Colour.ORANGE),
    2: Shown("stopping", Colour.GREY),
    1: Shown("failed", Colour.RED),
}
ON_OFF = {0: Shown("no", Colour.GREEN), 1: Shown("yes", Colour.RED)}
UP_DOWN = {0: Shown("down", Colour.RED), 1: Shown("up", Colour.GREEN)}


ANSWERED = "ok|failed"


def failed_share(by: Sequence[str], **labels: str) -> str:
    """Of the answered requests those that failed through no fault of the caller; 0 where none did."""
    answered = per_second(REQUESTS, by, outcome=ANSWERED, **labels)
    return ratio(f"{per_second(REQUESTS, by, outcome='failed', **labels)} or {answered} * 0", answered)


def warn(yellow: float, red: float) -> tuple[Threshold, ...]:
    """Of what is worse the higher it is."""
    return Threshold(yellow, Colour.YELLOW), Threshold(red, Colour.RED)


BAD_ABOVE_0 = (Threshold(1, Colour.RED),)
