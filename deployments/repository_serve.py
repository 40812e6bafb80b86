"""The repository's cluster: Ray Serve's controller, which keeps what is deployed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import TypeVar

import ray
from pydantic import JsonValue, TypeAdapter
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from deployments.live import serve_client
from deployments.repository.orders import Change, Deployed, LoadOrder
from deployments.repository_args import changed_args, write_model
from deployments.repository_turn import cluster_turn
from deployments.routing.run_time import RunTimeNote
from deployments.routing.serve_details import MODEL_BUILDER, POOL_BUILDER, ServeDetails
from deployments.routing.states import ApplicationView
from models.errors import ConfigError, ModelUnavailableError, StowageError
from models.types import VersionId

_OURS = (MODEL_BUILDER, POOL_BUILDER)
_MAX_TRIES = 5
_TURN_S = 20.0
_POLL_S = 0.1
_ENTRY = TypeAdapter(dict[str, JsonValue])

Answer = TypeVar("Answer")


class ServeCluster:
    """Asks in worker threads. ModelUnavailableError when the controller does not answer."""

    async def applications(self) -> Mapping[str, Deployed]:
        return await _asked(asyncio.to_thread(_applications))

    async def write(self, order: LoadOrder, there: Mapping[str, Deployed]) -> Mapping[str, JsonValue]:
        return await asyncio.to_thread(write_model, order, tuple(there.values()))

    def change(self, deployed: Deployed, version: VersionId, change: Change) -> Mapping[str, JsonValue]:
        return changed_args(deployed, version, change)

    async def deploy(self, note: RunTimeNote) -> None:
        await _asked(_deploy_and_detach(note))

    async def detach(self, note: RunTimeNote) -> None:
        """What the file has is the file's: to take it out as it is would remove it."""
        if str(note.written["name"]) in await _asked(asyncio.to_thread(_file_applications)):
            await self.deploy(note)

    async def remove(self, application: str) -> None:
        await _asked(_remove(application))


async def _asked(answer: Awaitable[Answer]) -> Answer:
    try:
        return await answer
    except RayTaskError as error:
        raise _cause(error) from error
    except (RayError, RayServeException, TimeoutError) as error:
        raise _unavailable(error) from error


def _cause(error: RayTaskError) -> StowageError:
    """Of a task that failed; what is not ours is a defect of the builder, or of the source of the weights.

    What Ray raised in it says nothing of the application: the controller may have died after it had been told.
    """
    if isinstance(error.cause, StowageError):
        return error.cause
    if isinstance(error.cause, (RayError, RayServeException)):
        return _unavailable(error.cause)
    return ConfigError(f"the application cannot be built: {error.cause!r}")


def _unavailable(error: Exception) -> ModelUnavailableError:
    return ModelUnavailableError(f"Serve does not do what it is asked: {error}")


async def _deploy_and_detach(note: RunTimeNote) -> None:
    """Again where a file that was deployed meanwhile took it back: then taking it out of that removed it."""
    name = str(note.written["name"])
    async with cluster_turn():
        for _ in range(_MAX_TRIES):
            await _deploy(note)
            await asyncio.to_thread(_wait_until_told, note)
            await asyncio.to_thread(_take_out, name)
            if await asyncio.to_thread(_stays, name):
                return
    raise _put_back(name)


async def _remove(application: str) -> None:
    """Out of the file's applications first: the controller would start it again when it is restarted."""
    async with cluster_turn():
        await asyncio.to_thread(_take_out, application)
        await asyncio.to_thread(_delete, application)


async def _deploy(note: RunTimeNote) -> None:
    """In a process of its own, where planning and importing hold up no request."""
    written = ServeApplicationSchema.model_validate(note.written)
    task = ray.remote(num_cpus=0)(_build_and_deploy)
    if written.runtime_env:
        task = task.options(runtime_env=written.runtime_env)
    await task.remote(note)


def _build_and_deploy(note: RunTimeNote) -> None:
    from deployments.repository_build import deploy  # noqa: PLC0415  what builds applications is for that process

    deploy(note)


def _applications() -> Mapping[str, Deployed]:
    file = _file_applications()
    found = {view.name: _deployed(view, file) for view in _views() if view.status != "DELETING"}
    return {name: each for name, each in found.items() if each and each.written.get("import_path") in _OURS}


def _wait_until_told(note: RunTimeNote) -> None:
    """The controller shows what it was given after its next turn, and until then nobody knows what a pool has.

    TimeoutError.
    """
    give_up_at = time.monotonic() + _TURN_S
    while not any(_is_told(view, note) for view in _views()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{note.written['name']} is not as it was deployed after {_TURN_S:g} s")
        time.sleep(_POLL_S)


def _is_told(view: ApplicationView, note: RunTimeNote) -> bool:
    """Whether it has this note, or a later one."""
    known = view.run_time
    return view.name == note.written["name"] and known is not None and known.newest_unix_s >= note.newest_unix_s


def _stays(application: str) -> bool:
    return any(view.name == application and view.status != "DELETING" for view in _views())


def _views() -> tuple[ApplicationView, ...]:
    return ServeDetails.model_validate(serve_client().get_serve_details()).views()


def _deployed(view: ApplicationView, file: Mapping[str, ServeApplicationSchema]) -> Deployed | None:
    """None for what was deployed by someone else."""
    if view.run_time is not None:
        return Deployed(view.run_time.written, view.run_time)
    written = file.get(view.name)
    if written is None:
        return None
    return Deployed(_ENTRY.validate_python(written.model_dump(mode="json", exclude_unset=True)))


def _file_applications() -> Mapping[str, ServeApplicationSchema]:
    """Those of the file that was deployed last, without what has been taken out since."""
    found: Mapping[str, ServeApplicationSchema] = ray.get(serve_client()._controller.get_app_configs.remote())
    return found


def _take_out(application: str) -> None:
    """Let the controller forget that the file has it. ModelUnavailableError when others change the file meanwhile.

    The others are deployed again as they are, which leaves them alone. There is no way to change one of them only,
    hence ``cluster_turn``; and a file that is deployed at the same moment may come back whole, and then it is
    taken out of that.
    """
    for _ in range(_MAX_TRIES):
        file = _file_applications()
        if application not in file:
            return
        kept = [each for name, each in file.items() if name != application]
        capacity = serve_client().get_serve_details().get("target_capacity")
        serve_client().deploy_apps(ServeDeploySchema(applications=kept, target_capacity=capacity))
    raise _put_back(application)


def _put_back(application: str) -> ModelUnavailableError:
    return ModelUnavailableError(f"{application} is put back by others that deploy a file now", retry_after_s=1)


def _delete(application: str) -> None:
    serve_client().delete_apps([application], blocking=False)
