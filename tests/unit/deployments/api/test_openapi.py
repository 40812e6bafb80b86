"""The document says what is served, and what is served keeps to the document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from deployments.api.app import build_app
from deployments.api.http.settings import PUBLIC_PATHS
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS
from tests.unit.deployments.repository.fake import Rig

APP = build_app(FakeDataPlane(with_broken=False), SETTINGS, operators=Rig().operators)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
MODELS = {"embeddings": "mini", "rerank": "mini", "score": "mini", "infer": "adder"}


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = SCHEMA.raw_schema
    return loaded


def test_it_is_an_openapi_document(document: Mapping[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_every_route_is_in_it_and_nothing_else(document: Mapping[str, Any]) -> None:
    routes = {
        (route.path, method.lower())
        for route in APP.routes
        if isinstance(route, Route) and route.path != "/openapi.json"
        for method in (route.methods or set()) - {"HEAD"}
    }
    told = {(path, method) for path, item in document["paths"].items() for method in item}
    assert told == routes


def test_every_operation_has_its_own_name_and_a_summary(document: Mapping[str, Any]) -> None:
    operations = [each for item in document["paths"].values() for each in item.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"].endswith((".", ";")) for each in operations)


def test_only_public_paths_need_no_key(document: Mapping[str, Any]) -> None:
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    public = {path for path, item in document["paths"].items() if item.get("get", {}).get("security") == []}
    assert public == PUBLIC_PATHS - {"/openapi.json"}


def test_names_of_schemas_are_short(document: Mapping[str, Any]) -> None:
    assert [name for name in document["components"]["schemas"] if "__" in name] == []


def test_what_is_refused_is_told(document: Mapping[str, Any]) -> None:
    request = document["components"]["schemas"]["MessagesRequest"]
    assert request["properties"]["thinking"]["enum"] == [None, {"type": "disabled"}]
    assert request["additionalProperties"] is False


def test_anyone_may_read_it(http: httpx.Client) -> None:
    assert http.get("/openapi.json").json()["info"]["title"] == "Stowage"


@SCHEMA.parametrize()
@settings(max_examples=20, deadline=None, derandomize=True)
def test_what_is_served_keeps_to_it(case: schemathesis.Case[Any]) -> None:
    aim(case)
    case.call_and_validate(
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ]
    )


def aim(case: schemathesis.Case[Any]) -> None:
    """At a model that is there, with the time that it takes."""
    model = next((name for end, name in MODELS.items() if case.path.endswith(end)), "echo")
    named = {"model": model, "version": "1"}
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = model
    case.path_parameters.update({name: value for name, value in named.items() if name in case.path_parameters})
    case.headers.pop("x-request-timeout", None)
