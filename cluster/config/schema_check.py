"""What a pydantic schema has to say of parsed YAML: unknown fields with the nearest known name, and the rest.

Ray Serve's own models ignore unknown fields, so a typing error silently becomes a default; here it is named.
"""

from __future__ import annotations

import difflib
import reprlib
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cluster.config.config_file import Complaint, YamlPath, child


def schema_complaints(value: object, schema: type[BaseModel], path: YamlPath = ()) -> list[Complaint]:
    """Everything that keeps ``value``, found at ``path``, from being exactly a ``schema``."""
    try:
        schema.model_validate(value)
        invalid: Iterable[Complaint] = ()
    except ValidationError as error:
        invalid = _validation_complaints(error.errors(include_url=False), value, path)
    except (TypeError, AttributeError) as error:  # validators of Serve trip over some values of a wrong type
        invalid = [Complaint(path, f"something in here is of a wrong type: {error}")]
    return [*_unknown_fields(value, schema, path), *invalid]


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy for a wrong ``word``: the known one that is most like it, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"


def _unknown_fields(value: object, annotation: object, path: YamlPath) -> Iterator[Complaint]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _unknown_in_model(value, annotation, path)
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType, Annotated):
        for option in arguments[:1] if origin is Annotated else arguments:
            yield from _unknown_fields(value, option, path)
    elif origin in (list, tuple, dict) and arguments:
        inner = arguments[1] if origin is dict else arguments[0]
        for key, item in _items(value, origin):
            yield from _unknown_fields(item, inner, (*path, key))


def _items(value: object, container: object) -> Iterator[tuple[str | int, object]]:
    """The parts of ``value`` that are to be checked when it should be a list (or tuple) or a dict."""
    if container is dict and isinstance(value, dict):
        yield from ((str(key), item) for key, item in value.items())
    elif container is not dict and isinstance(value, list):
        yield from enumerate(value)


def _unknown_in_model(value: object, model: type[BaseModel], path: YamlPath) -> Iterator[Complaint]:
    if not isinstance(value, dict):
        return
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    for key, item in value.items():
        if key in fields:
            yield from _unknown_fields(item, fields[key].annotation, (*path, key))
        else:
            yield Complaint((*path, str(key)), f"unknown field {key!r}; {nearest(str(key), fields)}")


def _validation_complaints(errors: list[ErrorDetails], value: object, path: YamlPath) -> Iterator[Complaint]:
    """One complaint per place: the branches of a union each have their own error for the same place."""
    messages: dict[YamlPath, list[str]] = {}
    for error in errors:
        if error["type"] != "extra_forbidden":
            place = (*path, *_written_part(error, value))
            messages.setdefault(place, []).append(_message(error))
    for place, found in messages.items():
        yield Complaint(place, "; or: ".join(dict.fromkeys(found)))


def _written_part(error: ErrorDetails, value: object) -> YamlPath:
    """pydantic's location without the names that it gives to the branches of a union."""
    written: list[str | int] = []
    for part in error["loc"]:
        inner = child(value, part)
        if inner is None and error["type"] != "missing":
            break
        written.append(part)
        value = inner
    return tuple(written)


def _message(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "this field is required"
    message = error["msg"].removeprefix("Value error, ")
    return message if error["type"] == "value_error" else f"{message}, not {reprlib.repr(error['input'])}"
