"""From bytes to a typed request: strict about types and unknown fields, and precise about what is wrong."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from models.errors import InvalidRequestError, UnsupportedOptionError

_UNSUPPORTED = "unsupported_option"
_MAX_ECHO_CHARS = 80


class WireModel(BaseModel):
    """A JSON object as a protocol defines it: no conversions between types, no unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


W = TypeVar("W", bound=WireModel)


def parse(model: type[W], body: bytes) -> W:
    """Read a JSON body; InvalidRequestError names the first field at fault and what it should be."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(model, error.errors(include_url=False)[0]) from None


def read_flag(params: Mapping[str, str], name: str) -> bool:
    """A query parameter that is ``true`` or ``false``, false where it is not given; InvalidRequestError."""
    value = params.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidRequestError(f"{name}: true or false, not {_echo(value)}", param=name)
    return value == "true"


def only(*neutral: JsonValue) -> BeforeValidator:
    """A field of the protocol that no engine can honour: null and the ``neutral`` values mean nothing and pass."""

    def check(value: object) -> None:
        if value is not None and not any(_same(value, other) for other in neutral):
            usable = " or ".join(json.dumps(other) for other in neutral)
            raise PydanticCustomError(_UNSUPPORTED, "{usable}", {"usable": usable})

    schema = WithJsonSchema({"enum": [None, *neutral]})
    return BeforeValidator(check, json_schema_input_type=Annotated[object, schema])


def string_or_list(as_item: Callable[[str], object], written: object) -> BeforeValidator:
    """A field that holds several items, for which a string may stand: it is one of them, as ``as_item`` writes it.

    ``written`` is the type of what callers send, for the field's JSON schema.
    """

    def listed(value: object) -> object:
        if isinstance(value, str):
            return (as_item(value),)
        return tuple(value) if isinstance(value, list) else value

    return BeforeValidator(listed, json_schema_input_type=written)


def _same(value: object, other: JsonValue) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _refusal(model: type[WireModel], error: ErrorDetails) -> InvalidRequestError:
    param = _path(error["loc"])
    match error["type"]:
        case "extra_forbidden":
            return _unknown_field(model, error["loc"], param)
        case "missing":
            return InvalidRequestError(f"{param} is required", param=param)
        case "json_invalid":
            return InvalidRequestError(
                f"the body is not valid JSON: {error['msg'].removeprefix('Invalid JSON: ')}"
            )
        case kind if kind == _UNSUPPORTED:
            remedy = f"leave it out or send {error['msg']}" if error["msg"] else "leave it out"
            return UnsupportedOptionError(
                f"{param}: {_echo(error['input'])} is not supported", remedy=remedy, param=param
            )
        case _:
            return InvalidRequestError(
                f"{param or 'the body'}: {error['msg']}, not {_echo(error['input'])}", param=param
            )


def _unknown_field(model: type[WireModel], loc: Sequence[int | str], param: str | None) -> InvalidRequestError:
    known = _fields_at(model, loc[:-1])
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"known fields: {', '.join(known)}"
    return InvalidRequestError(f"unknown field {param}", remedy=remedy, param=param)


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for step in path:
        if isinstance(step, str):
            model = next(_models_in(_wire_fields(model)[step].annotation))
    return list(_wire_fields(model))


def _wire_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _path(loc: Sequence[int | str]) -> str | None:
    """The place of a value, as in ``messages[0].content``."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
    return steps.removeprefix(".") or None


def _echo(value: object) -> str:
    """The value as JSON, cut short; encoded piece by piece, because it may be as large as a body."""
    pieces = json.JSONEncoder(ensure_ascii=False, default=repr).iterencode(value)
    text = "".join(islice(pieces, _MAX_ECHO_CHARS))
    return text if len(text) <= _MAX_ECHO_CHARS else text[:_MAX_ECHO_CHARS] + "..."
