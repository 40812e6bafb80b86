"""Where operators' calls are served."""

from __future__ import annotations

from http import HTTPStatus

from deployments.api.admin.models import AdminModels
from deployments.api.admin.scaling import AdminScaling
from deployments.api.admin.schemas import ChangeBody, DeployedModel, DeployedModels, LoadBody, Unloaded
from deployments.api.http.operation import Operation
from deployments.repository.accounts import ScalingAccounts
from deployments.repository.service import Repository
from deployments.scaling.account import ScalingAccount

_MODELS = "/admin/models"
_MODEL = f"{_MODELS}/{{model}}"
_LOADED = (HTTPStatus.OK, HTTPStatus.ACCEPTED)


def operations(repository: Repository, accounts: ScalingAccounts) -> tuple[Operation, ...]:
    """What is served under ``/admin``."""
    models, scaling = AdminModels(repository), AdminScaling(accounts)
    return (
        Operation("GET", _MODELS, models.index, DeployedModels),
        Operation("POST", _MODELS, models.load, DeployedModel, LoadBody, statuses=_LOADED),
        Operation("PATCH", _MODEL, models.change, DeployedModel, ChangeBody),
        Operation("DELETE", _MODEL, models.unload, Unloaded, flags=("force",)),
        Operation("GET", f"{_MODEL}/scaling", scaling.explain, ScalingAccount),
    )
