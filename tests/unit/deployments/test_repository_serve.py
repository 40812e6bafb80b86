"""What the repository tells Serve, while a file is deployed beside it, and what it makes of Ray's failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from deployments import repository_serve
from deployments.repository_serve import ServeCluster
from deployments.routing.cards import dump_card
from deployments.routing.run_time import RunTimeNote, Stamp, with_note
from models.errors import ConfigError, DoesNotFitError, ModelUnavailableError, StowageError
from models.types import ModelCard, Task, VersionId
from tests.unit.serve_details import application, instance_details

BUILDER = "deployments.app:build_model"
NOTE = RunTimeNote({"name": "m@1", "import_path": BUILDER}, {"max_replicas": 3}, changed=Stamp("ann", 2.0))
CARD = ModelCard(VersionId("m", "1"), Task.EMBED, "onnx", created_unix_s=1)


@dataclass
class Serve:
    """The controller: what is in the file and is left out of the next one is removed, all else stays.

    ``meanwhile`` is what others do, one thing each time that the note has been deployed.
    """

    file: dict[str, ServeApplicationSchema] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    num_deployed: int = 0
    error: Exception | None = None

    def serve_deploy(self, *names: str) -> None:
        written = [ServeApplicationSchema(name=n, import_path=BUILDER, route_prefix=None) for n in names]
        self.deploy_apps(ServeDeploySchema(applications=written))

    async def deploy_note(self, note: RunTimeNote) -> None:
        if self.error:
            raise self.error
        name = str(note.written["name"])
        self.num_deployed += 1
        self.status[name] = "RUNNING"
        self.declared.discard(name)
        if self.meanwhile:
            self.meanwhile.pop()()

    def deploy_apps(self, config: ServeDeploySchema) -> None:
        self.file = {each.name: each for each in config.applications}
        self.status |= dict.fromkeys(self.file, "RUNNING")
        self.status |= dict.fromkeys(self.declared - set(self.file), "DELETING")
        self.declared = set(self.file)

    def delete_apps(self, names: list[str], *, blocking: bool) -> None:
        for name in names:
            self.status[name] = "DELETING"

    def get_serve_details(self) -> dict[str, object]:
        config = with_note(dump_card(CARD), NOTE)
        views = [application(name, status, user_config=config) for name, status in self.status.items()]
        return instance_details(*views)._get_user_facing_json_serializable_dict(exclude_unset=True)


@asynccontextmanager
async def at_once() -> AsyncIterator[None]:
    yield


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """With ``m@1`` and ``n@1`` of a file."""
    controller = Serve()
    controller.serve_deploy("m@1", "n@1")
    monkeypatch.setattr(repository_serve, "serve_client", lambda: controller)
    monkeypatch.setattr(repository_serve, "_file_applications", lambda: controller.file)
    monkeypatch.setattr(repository_serve, "_deploy", controller.deploy_note)
    monkeypatch.setattr(repository_serve, "cluster_turn", at_once)
    return controller


async def test_what_is_changed_is_no_file_s_any_more(serve: Serve) -> None:
    await ServeCluster().deploy(NOTE)
    await ServeCluster().detach(NOTE)
    assert (serve.status, set(serve.file), serve.num_deployed) == (
        {"m@1": "RUNNING", "n@1": "RUNNING"}, {"n@1"}, 1,
    )  # fmt: skip


async def test_what_a_file_takes_back_meanwhile_is_deployed_again(serve: Serve) -> None:
    serve.meanwhile = [lambda: serve.serve_deploy("m@1", "n@1")]
    await ServeCluster().deploy(NOTE)
    assert (serve.status["m@1"], set(serve.file), serve.num_deployed) == ("RUNNING", {"n@1"}, 2)
    serve.meanwhile = [lambda: serve.serve_deploy("m@1", "n@1")] * 9
    with pytest.raises(ModelUnavailableError, match="m@1 is put back by others"):
        await ServeCluster().deploy(NOTE)


async def test_a_change_that_was_cut_off_is_not_removed_but_done(serve: Serve) -> None:
    await ServeCluster().detach(NOTE)
    assert (serve.status["m@1"], set(serve.file), serve.num_deployed) == ("RUNNING", {"n@1"}, 1)


async def test_what_is_removed_does_not_come_back_with_the_controller(serve: Serve) -> None:
    await ServeCluster().remove("m@1")
    assert (serve.status, set(serve.file)) == ({"m@1": "DELETING", "n@1": "RUNNING"}, {"n@1"})


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (DoesNotFitError("it needs 6.1 GiB"), DoesNotFitError),
        (KeyError("max_replicas"), ConfigError),
        (ActorDiedError(), ModelUnavailableError),
        (RayServeException("Serve is shutting down"), ModelUnavailableError),
    ],
)
async def test_of_a_failure_it_is_told_whose_it_is(
    serve: Serve, cause: Exception, expected: type[StowageError]
) -> None:
    serve.error = RayTaskError("deploy", "traceback", cause, ip="127.0.0.1")  # type: ignore[no-untyped-call]
    with pytest.raises(StowageError) as told:
        await ServeCluster().deploy(NOTE)
    assert type(told.value) is expected
