"""Serve's own account of what is deployed, as its controller gives it and as the dashboard passes it on.

Both have the form of ``ray.serve.schema.ServeInstanceDetails``. Only what is used here is read, without Ray, so
that the command line can read it too, and clusters of other Ray versions can be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from deployments.routing.bundles import load_bundles
from deployments.routing.cards import load_card, load_pool
from deployments.routing.run_time import RunTimeNote, load_note
from deployments.routing.states import ApplicationView, ReplicaRange, ReplicaView
from models.manifest import Name, Version
from models.types import ModelCard, VersionId

POOL_BUILDER = "deployments.pool_app:build_pool"
ROUTER_BUILDER = "deployments.app:build_router"
MODEL_BUILDER = "deployments.app:build_model"
SCALING_POLICY = "deployments.autoscaling:ModelPolicy"

# Serve 2.60 (``ApplicationState._determine_app_status``).
_POINTER = re.compile(r"(Failed to update the|The) deployments \[")


class _Replica(BaseModel):
    replica_id: str
    state: str
    start_time_s: float
    node_id: str | None = None


class _Fallback(BaseModel):
    label_selector: dict[str, str] | None = None


class _ActorOptions(_Fallback):
    fallback_strategy: list[_Fallback] | None = None


class _Policy(BaseModel):
    policy_function: str = ""


class _Autoscaling(BaseModel):
    min_replicas: int
    max_replicas: int
    policy: _Policy = _Policy()


class _Config(BaseModel):
    user_config: object = None
    ray_actor_options: _ActorOptions = _ActorOptions()
    autoscaling_config: _Autoscaling | None = None


class _Deployment(BaseModel):
    message: str = ""
    deployment_config: _Config = _Config()
    target_num_replicas: int = 0
    required_resources: dict[str, float] = {}
    replicas: list[_Replica] = []


class _Pooled(BaseModel):
    model: Name
    version: Version = "1"


class _PoolArgs(BaseModel):
    models: list[_Pooled]


class _Written(BaseModel):
    """The application as the operator wrote it."""

    import_path: str
    args: object = None


class _Application(BaseModel):
    status: str
    message: str = ""
    deployed_app_config: _Written | None = None
    deployments: dict[str, _Deployment] = {}


@dataclass(frozen=True, slots=True)
class Running:
    """What runs of an application: its ``user_config``, and the ids of its replicas."""

    user_config: object
    replicas: tuple[str, ...]


class ServeDetails(BaseModel):
    """The reply. pydantic.ValidationError for anything that is not one."""

    applications: dict[str, _Application]

    def views(self) -> tuple[ApplicationView, ...]:
        """Every application, ours or not, sorted by name."""
        return tuple(_view(name, application) for name, application in sorted(self.applications.items()))

    @property
    def without_deployments(self) -> list[str]:
        """The applications that are being built, anew or for the first time, or whose builder has refused.

        Serve 2.60 tells of them as if nothing ran of them, though replicas of before go on.
        """
        return [
            name for name, app in self.applications.items() if not app.deployments and app.status != "DELETING"
        ]

    def with_running(self, running: Mapping[str, Running]) -> ServeDetails:
        """With what runs of those, by name."""
        found = {
            name: app.model_copy(update={"deployments": {"running": _running(running[name])}})
            for name, app in self.applications.items()
            if name in running
        }
        return ServeDetails(applications=self.applications | found)


def _running(running: Running) -> _Deployment:
    """Since when, and where, is of no interest of a replica that runs."""
    return _Deployment(
        deployment_config=_Config(user_config=running.user_config),
        target_num_replicas=len(running.replicas),
        replicas=[_Replica(replica_id=each, state="RUNNING", start_time_s=0) for each in running.replicas],
    )


def _view(name: str, application: _Application) -> ApplicationView:
    """Our applications have one deployment each, once they have been built."""
    deployment = next(iter(application.deployments.values()), _Deployment())
    note = load_note(deployment.deployment_config.user_config)
    written = application.deployed_app_config or _written(note)
    return ApplicationView(
        name=name,
        status=application.status,
        message=_message(application, deployment),
        target_num_replicas=deployment.target_num_replicas,
        replicas=tuple(_replica(replica) for replica in deployment.replicas),
        required_resources=deployment.required_resources,
        card=_card(deployment),
        pooled=_pooled(written, deployment),
        is_router=written is not None and written.import_path == ROUTER_BUILDER,
        selectors=_selectors(deployment.deployment_config.ray_actor_options),
        bundles=load_bundles(deployment.deployment_config.user_config),
        run_time=note,
        range=_range(deployment.deployment_config.autoscaling_config),
    )


def _range(autoscaling: _Autoscaling | None) -> ReplicaRange | None:
    if autoscaling is None:
        return None
    is_ours = autoscaling.policy.policy_function == SCALING_POLICY
    return ReplicaRange(
        autoscaling.min_replicas, autoscaling.max_replicas, autoscaling.policy.policy_function, is_ours
    )


def _message(application: _Application, deployment: _Deployment) -> str:
    """The application's is often no more than that its deployment has one."""
    is_own = application.message and not _POINTER.match(application.message)
    return application.message if is_own else deployment.message or application.message


def _written(note: RunTimeNote | None) -> _Written | None:
    """Serve keeps what was written only of what was deployed with the file."""
    try:
        return _Written.model_validate(note.written) if note else None
    except ValidationError:
        return None  # what looks like a note is someone else's


def _replica(replica: _Replica) -> ReplicaView:
    return ReplicaView(replica.state, replica.node_id is not None, replica.start_time_s, replica.replica_id)


def _selectors(options: _ActorOptions) -> tuple[dict[str, str], ...]:
    """A choice without a selector means every node, and makes the others idle."""
    choices = [options, *(options.fallback_strategy or ())]
    selectors = [choice.label_selector for choice in choices if choice.label_selector]
    return tuple(selectors) if len(selectors) == len(choices) else ()


def _card(deployment: _Deployment) -> ModelCard | None:
    """Absent when someone else's application has a name like ours."""
    try:
        return load_card(deployment.deployment_config.user_config)
    except ValidationError:
        return None


def _pooled(written: _Written | None, deployment: _Deployment) -> dict[VersionId, ModelCard | None]:
    """By the cards of a pool; until it has been built, by what its operator wrote."""
    if written is None or written.import_path != POOL_BUILDER:
        return {}
    try:
        return {card.id: card for card in load_pool(deployment.deployment_config.user_config).pooled}
    except ValidationError:
        return dict.fromkeys(_written_models(written.args))


def _written_models(args: object) -> tuple[VersionId, ...]:
    try:
        return tuple(VersionId(each.model, each.version) for each in _PoolArgs.model_validate(args).models)
    except ValidationError:
        return ()  # its builder refuses them, with the reason
