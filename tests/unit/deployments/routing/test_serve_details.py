"""The reply of Serve's controller and of the dashboard, both made with Ray's own schema."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deployments.routing.bundles import Bundles, with_bundles
from deployments.routing.cards import dump_card, dump_pool
from deployments.routing.serve_details import POOL_BUILDER, Running, ServeDetails
from deployments.routing.states import ApplicationView, ReplicaView, read_status
from models.types import ModelCard, Task, VersionId
from tests.unit.serve_details import application, details, instance_details

CARD = ModelCard(VersionId("m", "1"), Task.EMBED, "onnx", created_unix_s=1, embedding_dim=384)
APPLICATIONS = (
    application("m@1", "RUNNING", ("RUNNING",), memory=1024, user_config=dump_card(CARD)),
    application("b@1", "DEPLOYING", ("STARTING",), node_id=None, message="Building.", user_config={"theirs": 1}),
)
VIEWS = (
    ApplicationView(
        "b@1", "DEPLOYING", "Building.", 2, (ReplicaView("STARTING", False, 0.0, "r0"),), {"CPU": 0.1}
    ),
    ApplicationView(
        "m@1", "RUNNING", "", 2, (ReplicaView("RUNNING", True, 0.0, "r0"),), {"CPU": 0.1, "memory": 1024}, CARD
    ),
)


def test_the_controller_and_the_dashboard_are_read_alike() -> None:
    controller = instance_details(*APPLICATIONS)._get_user_facing_json_serializable_dict(exclude_unset=True)
    assert ServeDetails.model_validate(controller).views() == VIEWS
    assert ServeDetails.model_validate_json(details(*APPLICATIONS)).views() == VIEWS


@pytest.mark.parametrize(
    ("options", "selectors"),
    [
        ({}, ()),
        ({"label_selector": {"a": "1"}}, ({"a": "1"},)),
        (
            {"label_selector": {"a": "1"}, "fallback_strategy": [{"label_selector": {"a": "in(2,3)"}}]},
            ({"a": "1"}, {"a": "in(2,3)"}),
        ),
        ({"label_selector": {"a": "1"}, "fallback_strategy": [{}]}, ()),
    ],
)
def test_where_replicas_may_be_placed(options: dict[str, object], selectors: tuple[dict[str, str], ...]) -> None:
    reply = application("m@1", "DEPLOYING")
    deployment = reply["deployments"]["Model"]  # type: ignore[index]
    deployment["deployment_config"]["ray_actor_options"] = options
    (view,) = ServeDetails.model_validate_json(details(reply)).views()
    assert view.selectors == selectors


def test_the_bundles_of_a_group_are_read() -> None:
    bundles = Bundles(({"CPU": 0.5}, {"CPU": 0.5}), "PACK")
    reply = application("m@1", "DEPLOYING", user_config=with_bundles(dump_card(CARD), bundles))
    (view,) = ServeDetails.model_validate_json(details(reply)).views()
    assert (view.bundles, view.card) == (bundles, CARD)


def test_an_application_that_has_not_been_built_has_no_deployment() -> None:
    built = {**application("m@1", "DEPLOYING", message="Building."), "deployments": {}}
    assert ServeDetails.model_validate_json(details(built)).views() == (
        ApplicationView("m@1", "DEPLOYING", "Building."),
    )


def test_a_deployment_s_message_stands_in_for_the_application_s() -> None:
    reply = application("m@1", "UNHEALTHY")
    deployments = {"Model": {**reply["deployments"]["Model"], "message": "It died."}}  # type: ignore[index]
    (view,) = ServeDetails.model_validate_json(details({**reply, "deployments": deployments})).views()
    assert view.message == "It died."


def test_the_error_of_a_start_stands_in_for_the_hint_at_the_deployment() -> None:
    reply = application("m@1", "DEPLOY_FAILED", message="Failed to update the deployments ['Model'].")
    failed = "It failed to start 3 times in a row. Error:\nmodels.errors.GroupError: rank 1 on node b: port in use"
    deployments = {"Model": {**reply["deployments"]["Model"], "message": failed}}  # type: ignore[index]
    (view,) = ServeDetails.model_validate_json(details({**reply, "deployments": deployments})).views()
    assert read_status(view, None, 0) == ("failed", "rank 1 on node b: port in use")


def test_what_runs_of_an_application_that_is_built_anew_is_told() -> None:
    gone = {**application("gone@1", "DELETING"), "deployments": {}}
    refused = {**application("m@1", "DEPLOY_FAILED", message="No room."), "deployments": {}}
    found = ServeDetails.model_validate_json(details(gone, refused, application("b@1", "RUNNING")))
    assert found.without_deployments == ["m@1"]
    (_, _, view) = found.with_running({"m@1": Running(dump_card(CARD), ("r0", "r1"))}).views()
    assert (view.card, view.num_running, view.waits_for_a_node) == (CARD, 2, False)
    assert read_status(view, None, 0) == ("ready", "what ran before goes on, for its update failed: No room.")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"applications": {"a": {}}}'])
def test_another_reply_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError):
        ServeDetails.model_validate_json(body)


def pool(user_config: object, args: object) -> dict[str, object]:
    written = {"name": "pool-small", "import_path": POOL_BUILDER, "route_prefix": None, "args": args}
    return {**application("pool-small", "RUNNING", user_config=user_config), "deployed_app_config": written}


def test_a_pool_is_read_by_its_cards() -> None:
    (view,) = ServeDetails.model_validate_json(details(pool(dump_pool([CARD], ()), {"models": []}))).views()
    assert view.card is None
    assert view.pooled == {CARD.id: CARD}


def test_until_a_pool_has_been_built_its_models_are_those_that_were_written() -> None:
    args = {"models": [{"model": "a", "task": "embed"}, {"model": "b", "version": 2}]}
    built = {**pool(None, args), "deployments": {}}
    (view,) = ServeDetails.model_validate_json(details(built)).views()
    assert view.pooled == {VersionId("a", "1"): None, VersionId("b", "2"): None}


@pytest.mark.parametrize("args", [{}, {"models": [{"model": "-"}]}, {"models": "all"}])
def test_a_pool_that_its_builder_will_refuse_has_no_models(args: object) -> None:
    (view,) = ServeDetails.model_validate_json(details({**pool(None, args), "deployments": {}})).views()
    assert view.pooled == {}
