"""Plans one application and hands it to Serve's controller beside those of the file. Runs in a Ray task.

An application that is deployed so belongs to no file: deploying one leaves it alone, unless it has an application
of that name, and Serve's controller restores it when it is restarted (``ApplicationStateManager`` of Ray 2.60).
Its replicas are of the version that Serve would give to the same lines of a file (``get_app_code_version``), so
that neither a change of what is not part of that, nor a file that has those lines, restarts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import ray
from pydantic import JsonValue
from ray.serve import Application, Deployment
from ray.serve._private.build_app import build_app
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve.schema import ServeApplicationSchema

from deployments.app import build_model
from deployments.args import ModelArgs
from deployments.live import serve_client
from deployments.pool_app import build_pool
from deployments.pool_args import PoolArgs
from deployments.routing.run_time import RunTimeNote, with_note
from deployments.routing.serve_details import MODEL_BUILDER, POOL_BUILDER

Builder = Callable[[Mapping[str, JsonValue]], Application]

_BUILDERS: Mapping[str, Builder] = {
    MODEL_BUILDER: lambda args: build_model(ModelArgs.model_validate(args)),
    POOL_BUILDER: lambda args: build_pool(PoolArgs.model_validate(args)),
}


def deploy(note: RunTimeNote) -> None:
    """Returns when the controller has it. ConfigError and DoesNotFitError, and then nothing has changed."""
    written = ServeApplicationSchema.model_validate(note.written)
    built = build_app(
        _BUILDERS[written.import_path](note.args),
        name=written.name,
        route_prefix=None,
        default_runtime_env=dict(ray.get_runtime_context().runtime_env),
    )
    deployments = [_noted(deployment, written, note) for deployment in built.deployments]
    serve_client().deploy_applications(
        [replace(built, deployments=deployments)],
        wait_for_ingress_deployment_creation=False,
        wait_for_applications_running=False,
    )


def _noted(deployment: Deployment, written: ServeApplicationSchema, note: RunTimeNote) -> Deployment:
    """With what its ``deployments:`` block overrides, and the note."""
    overrides = {
        option: value
        for block in written.deployments
        for option, value in block.model_dump(exclude_unset=True).items()
        if option != "name"
    }
    noted: Deployment = deployment.options(
        **overrides,
        user_config=with_note(deployment.user_config, note),
        version=get_app_code_version(written),
        _internal=True,
    )
    return noted
