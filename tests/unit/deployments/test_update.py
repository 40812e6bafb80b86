"""What an update of a model may do to what runs of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.args import ModelArgs, Place
from deployments.routing.bundles import Bundles
from deployments.routing.shortage import FreeNode
from deployments.routing.states import ApplicationView, ReplicaView
from deployments.update import check_ranks, check_room, is_replaced, surges
from models.errors import ConfigError, ConflictError
from models.types import ModelCard, Task, VersionId
from tests.unit.group_plans import grouped
from tests.unit.plans import GPU, make_plan

WHOLE = make_plan({"weights": 400})
DIVIDED = grouped(WHOLE, 1, 2)
ON_GPUS = grouped(make_plan({"weights": 400}, device=GPU), 1, 2)
BUNDLES = Bundles(({"CPU": 2.0}, {"CPU": 2.0}), "PACK")
FULL, FREE = (FreeNode({"CPU": 3.0}),), (FreeNode({"CPU": 4.0}),)
ARGS = ModelArgs(model="m")
RUNNING = ReplicaView("RUNNING", placed=True, started_unix_s=0)
CARD = ModelCard(VersionId("m", "1"), Task.GENERATE, "transformers", 0, num_ranks=2, args_digest="before")
LIVE = ApplicationView("m@1", "RUNNING", "", 1, (RUNNING,), card=CARD)


def test_only_groups_go_on_by_themselves() -> None:
    assert surges(ARGS, DIVIDED)
    assert not surges(ARGS, WHOLE)
    assert surges(ModelArgs(model="m", update="surge"), WHOLE)
    assert not surges(ModelArgs(model="m", update="replace"), DIVIDED)


def test_a_group_without_room_beside_the_old_one_is_refused_with_the_choice() -> None:
    with pytest.raises(ConfigError, match=r"room for both: rank 1 of 2 finds .* 2 CPUs.* update: replace"):
        check_room(ARGS, DIVIDED, BUNDLES, FULL)
    check_room(ARGS, DIVIDED, BUNDLES, FREE)


@pytest.mark.parametrize("update", ["replace", "surge"])
def test_who_has_chosen_is_not_asked(update: str) -> None:
    """With ``surge`` room may still come; the old group serves until then."""
    check_room(ModelArgs.model_validate({"model": "m", "update": update}), DIVIDED, BUNDLES, FULL)


def test_places_that_are_all_taken_are_no_room_for_ever() -> None:
    places = tuple(Place(node="a", devices=(gpu,)) for gpu in range(2))
    args = ModelArgs.model_validate({"model": "m", "parallel": {"pipeline": 2}, "update": "surge"})
    with pytest.raises(ConfigError, match="its placement has 2 places, which they have taken"):
        check_room(args.model_copy(update={"placement": places}), ON_GPUS, BUNDLES, FREE)
    check_room(args.model_copy(update={"placement": places * 2}), ON_GPUS, BUNDLES, FREE)
    on_nodes = (Place(node="a"), Place(node="b"))
    check_room(args.model_copy(update={"placement": on_nodes}), DIVIDED, BUNDLES, FREE)


def test_another_number_of_ranks_is_another_version() -> None:
    check_ranks(ARGS, DIVIDED, LIVE)
    for plan, number in ((WHOLE, 1), (grouped(WHOLE, 1, 3), 3)):
        with pytest.raises(
            ConflictError, match=f"runs with 2 ranks, and would have {number} .write it as a version"
        ):
            check_ranks(ARGS, plan, LIVE)


def test_nothing_is_replaced_where_nothing_runs_or_nothing_has_changed() -> None:
    assert is_replaced(ARGS, LIVE)
    assert is_replaced(ARGS, replace(LIVE, card=None))
    assert not is_replaced(ARGS, replace(LIVE, replicas=()))
    same = replace(LIVE, card=replace(CARD, args_digest=ARGS.digest))
    assert not is_replaced(ARGS, same)
    assert is_replaced(ModelArgs(model="m", num_threads=2), same)
