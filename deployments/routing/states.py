"""What is live: Serve's account of its applications, turned into the state of each model version. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deployments.routing.bundles import Bundles
from deployments.routing.group_shortage import GroupNeed, explain_group, is_group_lacking
from deployments.routing.node_supply import DECISION_S, Demand, NodeSupply
from deployments.routing.run_time import RunTimeNote
from deployments.routing.shortage import FreeNode, Need, explain, is_lacking
from models.types import ModelCard, VersionId

# A replica that has no node after this long waits for resources if no node has them free; after the longer time it
# does so in any case: what a node has free may lie on several of its GPUs.
PLACEMENT_GRACE_S = 3.0
LONG_PLACEMENT_S = 30.0

# To these Serve sends requests: one whose node is to go serves until another one has taken its place.
_SERVING = ("RUNNING", "PENDING_MIGRATION")

_TRACEBACK = "Traceback"
_OWN_ERROR = re.compile(r"^models\.errors\.\w+: ")


@dataclass(frozen=True, slots=True)
class ReplicaRange:
    """From how many replicas to how many, and the import path of the ``policy`` that decides.

    ``is_ours``: that is Stowage's, which goes by what routers tell it.
    """

    low: int
    high: int
    policy: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class ModelState:
    """One deployed version as Serve sees it. ``reason`` says why it is not ready, or not what was deployed last.

    ``status`` is ready, asleep (no replica, a request starts one), starting, waiting (for resources),
    failed or stopping. ``card`` is absent until the application has been built. ``pool`` is the application that
    hosts it together with others; None: it has one of its own, which has its name. ``num_replicas`` are up, of
    ``target_num_replicas`` that are to be. ``range``: None where that number is fixed.
    """

    id: VersionId
    ready: bool
    status: str
    reason: str | None = None
    card: ModelCard | None = None
    pool: str | None = None
    num_replicas: int = 0
    target_num_replicas: int = 0
    range: ReplicaRange | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """What is live at one moment. ``num_routers``: replicas of the router that share the models' capacity."""

    states: tuple[ModelState, ...] = ()
    num_routers: int = 1


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One replica: its Serve state, whether it has been placed on a node, when it was started, and its id."""

    state: str
    placed: bool
    started_unix_s: float
    id: str = ""

    @property
    def serves(self) -> bool:
        return self.state in _SERVING


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """What is needed of one Serve application. Resources are Ray's: CPU, GPU, memory in bytes.

    ``pooled`` are the versions that a pool hosts, with their cards once it has been built. A replica may be placed
    on nodes to whose labels one of ``selectors`` applies, on all if there are none. ``bundles``: what the ranks of
    a group ask for instead. ``run_time``: what was done to it since its file was deployed, or in place of one.
    ``cause``: what the last group of ranks has failed of, while none has served since. ``range`` as in ModelState.
    """

    name: str
    status: str
    message: str
    target_num_replicas: int = 0
    replicas: tuple[ReplicaView, ...] = ()
    required_resources: Mapping[str, float] = field(default_factory=dict)
    card: ModelCard | None = None
    pooled: Mapping[VersionId, ModelCard | None] = field(default_factory=dict)
    is_router: bool = False
    selectors: tuple[Mapping[str, str], ...] = ()
    bundles: Bundles | None = None
    run_time: RunTimeNote | None = None
    cause: str | None = None
    range: ReplicaRange | None = None

    @property
    def num_running(self) -> int:
        return sum(replica.serves for replica in self.replicas)

    @property
    def waits_for_a_node(self) -> bool:
        return any(_is_unplaced(replica) for replica in self.replicas)


def read_states(
    applications: Sequence[ApplicationView],
    nodes: Sequence[FreeNode] | None,
    now_unix_s: float,
    supply: NodeSupply | None = None,
) -> tuple[ModelState, ...]:
    """The state of every model version, in an application of its own or in a pool, sorted by id.

    ``nodes`` have what is free, ``supply`` what Ray seeks nodes for; None when that is not known.
    """
    states = [state for view in applications for state in _states(view, nodes, now_unix_s, supply)]
    return tuple(sorted(states, key=lambda state: state.id))


def read_picture(
    applications: Sequence[ApplicationView],
    nodes: Sequence[FreeNode] | None,
    now_unix_s: float,
    supply: NodeSupply | None = None,
) -> Picture:
    """``read_states``, and how many routers there are."""
    routers = sum(view.num_running for view in applications if view.is_router)
    return Picture(read_states(applications, nodes, now_unix_s, supply), max(1, routers))


def _version(application: str) -> VersionId | None:
    """None for the router, and for applications that are not ours."""
    try:
        return VersionId.parse(application)
    except ValueError:
        return None


def read_status(
    view: ApplicationView,
    nodes: Sequence[FreeNode] | None,
    now_unix_s: float,
    supply: NodeSupply | None = None,
) -> tuple[str, str | None]:
    """The status of any application, in the words of ``ModelState``, and why it is not ready, or not as asked."""
    if view.status == "DELETING":
        return "stopping", "it is being removed"
    failure = None
    if view.status == "DEPLOY_FAILED":
        failure = _last_line(view.message) or "Serve gives no reason"
    if view.num_running:
        return "ready", _what_else(view, failure)
    if failure:
        return "failed", failure
    if view.status == "RUNNING" and view.target_num_replicas == 0:
        return "asleep", None
    return _without_a_node(view, nodes, now_unix_s, supply) or ("starting", _why_it_starts(view))


def _without_a_node(
    view: ApplicationView, nodes: Sequence[FreeNode] | None, now_unix_s: float, supply: NodeSupply | None
) -> tuple[str, str] | None:
    """None while each replica has a node, or may just be getting one. Ray knows that before Serve does."""
    demand = _demand(view)
    if not view.waits_for_a_node or (supply and not supply.seeks(demand)):
        return None
    lacking, why = _shortage(view, nodes)
    autoscaler = supply.autoscaler if supply and lacking else None
    refused = autoscaler is not None and autoscaler.refuses(demand)
    if autoscaler and autoscaler.coming and not refused:
        return "starting", f"{autoscaler}: {why}"
    grace_s = PLACEMENT_GRACE_S if lacking else LONG_PLACEMENT_S
    if autoscaler and not refused:
        grace_s = DECISION_S
    if all(_unplaced_for(replica, now_unix_s) <= grace_s for replica in view.replicas):
        return None
    return "waiting", f"it cannot be scheduled: {why}" + (f"; {autoscaler}" if autoscaler else "")


def _demand(view: ApplicationView) -> Demand:
    """What one replica asks Ray for."""
    return tuple(view.bundles.bundles) if view.bundles else (view.required_resources,)


def _what_else(view: ApplicationView, failure: str | None) -> str | None:
    """Of an application that serves: what is not as asked."""
    if failure:
        return f"what ran before goes on, for its update failed: {failure}"
    return f"one of its groups starts anew: {view.cause}" if view.cause else None


def _why_it_starts(view: ApplicationView) -> str:
    """Of a group what the last one has failed of, and why this one did not start when it was tried before."""
    error = _last_line(view.message)
    if view.cause is None:
        return error or "its replica is loading"
    anew = f"its group of ranks starts anew: {view.cause}"
    return f"{anew}; then {error}" if error and _TRACEBACK in view.message else anew


def _shortage(view: ApplicationView, nodes: Sequence[FreeNode] | None) -> tuple[bool, str]:
    """Whether the nodes are known to have too little, and what it is that a replica cannot get."""
    if view.bundles:
        group = GroupNeed.of(view.bundles)
        return nodes is not None and is_group_lacking(group, nodes), explain_group(group, nodes)
    need = Need(view.required_resources, view.selectors, view.card.planned_bytes if view.card else None)
    return nodes is not None and is_lacking(need, nodes), explain(need, nodes)


def _states(
    view: ApplicationView, nodes: Sequence[FreeNode] | None, now_unix_s: float, supply: NodeSupply | None
) -> Iterator[ModelState]:
    status, reason = read_status(view, nodes, now_unix_s, supply)
    ready = status in ("ready", "asleep")
    version = _version(view.name)
    numbers = (view.num_running, view.target_num_replicas, view.range)
    if version is not None:
        yield ModelState(version, ready, status, reason, view.card, None, *numbers)
    for pooled, card in view.pooled.items():
        yield ModelState(pooled, ready, status, reason, card, view.name, *numbers)


def _is_unplaced(replica: ReplicaView) -> bool:
    return replica.state == "STARTING" and not replica.placed


def _unplaced_for(replica: ReplicaView, now_unix_s: float) -> float:
    """Seconds for which a starting replica has had no node."""
    return now_unix_s - replica.started_unix_s if _is_unplaced(replica) else 0.0


def _last_line(message: str) -> str | None:
    """Serve's messages end with the error that caused them, after its traceback; our own need no class name."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return _OWN_ERROR.sub("", lines[-1]) if lines else None
