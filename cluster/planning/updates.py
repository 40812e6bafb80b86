"""Updates of models that are divided: whether a new group finds room beside those that run. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.planning.planned import ClusterPlan, PlannedModel
from deployments.update import has_spare_place, surges
from models.memory.plan import format_bytes
from models.placement.groups import insert_group
from models.placement.layout import lay_out
from models.placement.moves import Rules

_REMEDY = "write update: replace, which stops the old group first, or make room."


def update_notes(planned: ClusterPlan) -> Iterator[str]:
    """Of each group that is to go on until a new one serves."""
    for model in planned.models:
        if model.plan is not None and model.plan.group and surges(model.args, model.plan) and model.num_replicas:
            yield _note(model, has_room_for_another(planned, model))


def has_room_for_another(planned: ClusterPlan, model: PlannedModel) -> bool:
    """Whether one replica more has a place beside everything that is planned."""
    if model.plan is None or not has_spare_place(model.args, model.plan):
        return False
    layout = lay_out(planned.demands, planned.nodes, planned.placement.slots)
    parts = model.demands(model.num_replicas)
    return bool(parts) and insert_group(layout, parts, Rules())


def _note(model: PlannedModel, has_room: bool) -> str:
    if has_room:
        return f"{model.name}: a second group has room, so an update keeps the old one until the new one serves."
    taken = format_bytes(model.plan.budget_bytes) if model.plan else ""
    return (
        f"{model.name}: an update needs room for {model.num_ranks} more ranks of up to {taken}; there is none. "
        + ("It will be refused: " + _REMEDY if _is_refused(model) else "It will wait for that room.")
    )


def _is_refused(model: PlannedModel) -> bool:
    has_place = model.plan is not None and has_spare_place(model.args, model.plan)
    return model.args.update == "auto" or not has_place


def rank_changes(old: ClusterPlan, new: ClusterPlan) -> Iterator[str]:
    """The models that would be divided otherwise, which their builder refuses while they run."""
    before = {model.name: model for model in old.models if model.plan}
    for model in new.models:
        known = before.get(model.name)
        if known and model.plan and known.num_ranks != model.num_ranks:
            yield (
                f"{model.name}: {known.num_ranks} -> {model.num_ranks} ranks "
                "(write it as a version of its own, and let a rollout go over to it)"
            )
