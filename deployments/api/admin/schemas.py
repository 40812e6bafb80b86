"""What operators send and get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from deployments.api.http.parsing import WireModel
from deployments.repository.service import Listed
from deployments.routing.run_time import Stamp


class LoadBody(WireModel):
    """``version``: without one, the newest in the store. ``args``: fields of ModelArgs. ``wait`` for its end."""

    model: str
    version: str | None = None
    args: dict[str, JsonValue] = Field(default_factory=dict)
    wait: bool = True


class ChangeBody(WireModel):
    """What is to be another; the rest stays. ``pinned`` is for models of a pool."""

    min_replicas: int | None = Field(default=None, ge=0)
    max_replicas: int | None = Field(default=None, ge=1)
    pinned: bool | None = None


class Done(TypedDict):
    """``by`` is the owner of the key; ``at`` in seconds since 1970."""

    by: str
    at: float


class RunTime(TypedDict):
    """What was done while the cluster ran; ``differences`` from the application as the file has it."""

    loaded: Done | None
    changed: Done | None
    differences: list[str]


class DeployedModel(TypedDict):
    """One deployed version. ``run_time`` None: as in the file.

    ``application`` is what a file would have to say to have it so; of a model in a pool, the pool's.
    """

    id: str
    object: Literal["model"]
    status: str
    ready: bool
    reason: str | None
    replicas: int
    planned_bytes: int | None
    pool: str | None
    run_time: RunTime | None
    application: Mapping[str, JsonValue] | None


class DeployedModels(TypedDict):
    """Every deployed version."""

    object: Literal["list"]
    data: list[DeployedModel]


class Unloaded(TypedDict):
    """A version that is gone. ``returns``: the file has it, so that deploying the file starts it again."""

    id: str
    object: Literal["model"]
    deleted: Literal[True]
    returns: bool


def shown(listed: Listed) -> DeployedModel:
    """The version in the protocol's words."""
    state, deployed = listed.state, listed.deployed
    return DeployedModel(
        id=str(state.id),
        object="model",
        status=state.status,
        ready=state.ready,
        reason=state.reason,
        replicas=state.num_replicas,
        planned_bytes=state.card.planned_bytes if state.card else None,
        pool=state.pool,
        run_time=_run_time(listed),
        application={**deployed.written, "args": dict(deployed.args)} if deployed else None,
    )


def _run_time(listed: Listed) -> RunTime | None:
    note = listed.deployed.note if listed.deployed else None
    if note is None:
        return None
    return RunTime(loaded=_done(note.loaded), changed=_done(note.changed), differences=list(note.differences()))


def _done(stamp: Stamp | None) -> Done | None:
    return None if stamp is None else Done(by=stamp.by, at=stamp.at_unix_s)
