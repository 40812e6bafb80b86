"""The reference tables of the documents name every field, path, variable and error, with its real value."""

from __future__ import annotations

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.exceptions import HTTPException
from starlette.routing import Route

from cluster.config.environment import SERVE_DEFAULTS
from deployments.api.app import build_app
from deployments.api.http.errors import report
from deployments.api.http.settings import ApiSettings
from deployments.api.oip.generate import GenerateBody, GenerateParameters
from deployments.api.openai.chat import ChatRequest
from deployments.api.openai.completions import CompletionRequest
from deployments.api.openai.embeddings import EmbeddingBody
from deployments.api.openai.errors import error_body
from deployments.args import ModelArgs, RouterArgs
from deployments.pool_args import PoolArgs
from deployments.routing.breaker import BreakerSettings
from deployments.routing.policy import Route as PolicyRoute
from deployments.routing.policy import RouterPolicy
from deployments.routing.retry import Retries
from deployments.scaling_args import ScalingArgs
from models.errors import (
    AuthenticationError,
    ContextLengthError,
    DeadlineExceededError,
    EngineError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StateUnavailableError,
    UnsupportedOptionError,
    WrongTaskError,
)
from models.memory.budget import Budget
from models.sources import parse_source
from models.spec import Limits
from tests.markdown import code_spans, table
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.repository.fake import Rig
from tests.unit.source_tree import ROOT

CONFIGURATION, MODELS, API, ROUTES = (
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("configuration", "models", "api", "routes")
)


def default_of(field: FieldInfo) -> object:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Budget):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value


@pytest.mark.parametrize(
    ("text", "heading", "schema"),
    [
        (CONFIGURATION, "### `args` of a model", ModelArgs),
        (CONFIGURATION, "### `limits` of a model", Limits),
        (CONFIGURATION, "### `scaling` of a model", ScalingArgs),
        (CONFIGURATION, "### `args` of a pool", PoolArgs),
        (CONFIGURATION, "### `args` of the router", RouterArgs),
        (CONFIGURATION, "### `user_config` of the router", RouterPolicy),
        (ROUTES, "## Fields of a route", PolicyRoute),
        (ROUTES, "### `retries`", Retries),
        (ROUTES, "### `breaker`", BreakerSettings),
    ],
)
def test_every_field_is_documented_with_its_default(text: str, heading: str, schema: type[BaseModel]) -> None:
    rows = table(text, heading)
    documented = {name.strip("`"): yaml.safe_load(default.strip("`")) for name, default, _ in rows}
    assert documented == {name: default_of(field) for name, field in schema.model_fields.items()}


def test_the_environment_is_documented() -> None:
    rows = table(CONFIGURATION, "## Environment")
    assert {name.strip("`"): value.strip("`") for name, value, _ in rows} == SERVE_DEFAULTS


def test_documented_sources_can_be_read() -> None:
    forms = [form for row in table(MODELS, "## Sources") for form in code_spans(row[0])]
    assert {type(parse_source(form)).__name__ for form in forms} == {
        "FileSource",
        "PackageSource",
        "HubSource",
        "BucketSource",
    }


def test_every_path_is_documented() -> None:
    app = build_app(FakeDataPlane(), ApiSettings(), operators=Rig().operators)
    paths = {route.path.replace("/versions/{version}", "") for route in app.routes if isinstance(route, Route)}
    written = {span.partition(" ")[2] for row in table(API, "## Endpoints") for span in code_spans(row[0])}
    assert paths == written


@pytest.mark.parametrize("body", [ChatRequest, CompletionRequest, EmbeddingBody, GenerateBody, GenerateParameters])
def test_every_field_of_a_body_is_documented(body: type[BaseModel]) -> None:
    assert set(body.model_fields) - set(code_spans(API)) == set()


def test_every_error_is_documented() -> None:
    kinds = (InvalidRequestError, ContextLengthError, UnsupportedOptionError, WrongTaskError, ModelNotFoundError)
    server = (OverloadedError, ModelUnavailableError, DeadlineExceededError, EngineError, ZeroDivisionError)
    routed = [HTTPException(status) for status in (404, 405, 413, 415)]
    door = (AuthenticationError, PermissionDeniedError, QuotaExceededError, StateUnavailableError)
    spent = QuotaExceededError("x", is_budget=True)
    raised = [*(kind("x") for kind in (*kinds, *door, *server)), spent, *routed]
    problems = [report(error, "id") for error in raised]
    details = [(str(problem.status), error_body(problem)["error"]) for problem in problems]
    expected = {(status, detail["type"], detail["code"] or "null") for status, detail in details}
    rows = [[cell.replace("`", "") for cell in row] for row in table(API, "## Errors")]
    assert {(status, kind, code) for each, kind, code, _ in rows for status in each.split(", ")} == expected
