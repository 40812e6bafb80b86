"""The OpenAPI 3.1 document, made from the operations that are served and the types that they read and write."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import TypeForm

from deployments.api.http.operation import Operation, Section

PATH = "/openapi.json"

JsonObject = Mapping[str, object]
_Mode = Literal["validation", "serialization"]

_SCHEMAS = "#/components/schemas/{model}"
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_HEADERS: Mapping[str, JsonObject] = {
    "x-request-id": {
        "description": "Comes back, and stands in the logs.",
        "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,126}[!-~])?$"},
    },
    "x-request-timeout": {
        "description": "Seconds that the request may take, streams included.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
}
_SECURITY_SCHEMES: Mapping[str, JsonObject] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def openapi_route(sections: Sequence[Section], version: str, public_paths: frozenset[str]) -> Route:
    """Serves the document at ``/openapi.json``; ``public_paths`` need no API key."""
    content = document(sections, version, public_paths)

    async def openapi(_: Request) -> Response:
        """This document."""
        return JSONResponse(content)

    return Route(PATH, openapi)


def document(sections: Sequence[Section], version: str, public_paths: frozenset[str]) -> JsonObject:
    """Every operation of the sections with its bodies, errors, headers and API keys."""
    schemas = _Schemas(sections)
    paths: dict[str, dict[str, JsonObject]] = {}
    for section in sections:
        for operation in section.operations:
            described = _operation(operation, section, schemas)
            if operation.path in public_paths:
                described["security"] = []
            paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stowage", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "parameters": {name: {"name": name, "in": "header", **told} for name, told in _HEADERS.items()},
            "securitySchemes": _SECURITY_SCHEMES,
        },
        # The last one, no key at all, is for a server that was started without keys.
        "security": [*({name: []} for name in _SECURITY_SCHEMES), {}],
        "tags": [{"name": section.name} for section in sections],
    }


class _Schemas:
    """The JSON schemas of all types that the operations use, with what they share told once."""

    def __init__(self, sections: Sequence[Section]) -> None:
        used = tuple(dict.fromkeys(_types(sections)))
        by_place, shared = TypeAdapter.json_schemas(
            [(place, mode, TypeAdapter(kind)) for place, (kind, mode) in enumerate(used)], ref_template=_SCHEMAS
        )
        self._of = {used[place]: schema for (place, _), schema in by_place.items()}
        self.definitions: JsonObject = shared["$defs"]

    def json(self, kind: TypeForm[object], mode: _Mode = "serialization") -> JsonObject:
        """The content of a JSON body of this type."""
        return {"application/json": {"schema": self._of[kind, mode]}}

    def events(self, kind: TypeForm[object], end_mark: str | None) -> JsonObject:
        """The content of a stream. Its schema is that of one event: ``itemSchema`` comes with OpenAPI 3.2."""
        content = self._of[kind, "serialization"]
        data: JsonObject = {"contentMediaType": "application/json", "contentSchema": content}
        if end_mark is not None:
            data = {"anyOf": [{"const": end_mark}, data]}
        fields = {"event": {"type": "string"}, "data": {"type": "string", **data}}
        return {"text/event-stream": {"schema": {"type": "object", "properties": fields, "required": ["data"]}}}


def _types(sections: Sequence[Section]) -> Iterator[tuple[TypeForm[object], _Mode]]:
    for section in sections:
        yield section.error, "serialization"
        for operation in section.operations:
            if operation.body is not None:
                yield operation.body, "validation"
            for kind in (operation.reply, operation.event):
                if kind is not None:
                    yield kind, "serialization"


def _operation(operation: Operation, section: Section, schemas: _Schemas) -> dict[str, object]:
    described: dict[str, object] = {
        "operationId": _id(operation),
        "tags": [section.name],
        "summary": (inspect.getdoc(operation.endpoint) or "").partition("\n")[0],
        "parameters": [
            *(_path_parameter(name) for name in _PATH_PARAMETER.findall(operation.path)),
            *(_flag(name) for name in operation.flags),
            *({"$ref": f"#/components/parameters/{name}"} for name in _HEADERS),
        ],
        "responses": _responses(operation, section, schemas),
    }
    if operation.body is not None:
        content = schemas.json(operation.body, "validation")
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {**content, **_binary(operation)},
        }
    return described


def _responses(operation: Operation, section: Section, schemas: _Schemas) -> JsonObject:
    content = {
        **({} if operation.reply is None else schemas.json(operation.reply)),
        **({} if operation.event is None else schemas.events(operation.event, operation.end_mark)),
        **_binary(operation),
    }
    error = schemas.json(section.error)
    return {
        **{str(status.value): {"description": status.phrase, "content": content} for status in operation.statuses},
        "4XX": {"description": "The request is at fault, or comes too soon", "content": error},
        "5XX": {"description": "The server cannot answer", "content": error},
    }


def _binary(operation: Operation) -> JsonObject:
    return {"application/octet-stream": {"schema": {}}} if operation.binary else {}


def _path_parameter(name: str) -> JsonObject:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _flag(name: str) -> JsonObject:
    return {"name": name, "in": "query", "schema": {"type": "boolean"}}


def _id(operation: Operation) -> str:
    """The method and the path in words, as in ``post_v1_chat_completions``."""
    return "_".join([operation.method.lower(), *re.findall(r"\w+", operation.path)])
