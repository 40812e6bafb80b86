"""From a CustomResourceDefinition to a JSON schema that accepts no more than the API server keeps.

The API server drops fields that a structural schema does not name. Here they are errors, as for
`kubectl apply --validate=strict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

Schema = dict[str, Any]

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_BOUNDS = {"int32": 2**31, "int64": 2**63}


def crd_schema(path: Path, version: str) -> Schema:
    """The closed schema of ``version`` in the CRD at ``path``. Its ``metadata`` is not described there: see
    ``object_metadata`` of ``strict``."""
    crd = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    (found,) = (each for each in crd["spec"]["versions"] if each["name"] == version)
    schema: Schema = dict(found["schema"]["openAPIV3Schema"])
    kind, group = crd["spec"]["names"]["kind"], crd["spec"]["group"]
    schema["properties"] = {
        **schema["properties"],
        "kind": {"type": "string", "enum": [kind]},
        "apiVersion": {"type": "string", "enum": [f"{group}/{version}"]},
        "metadata": {"type": "object", _PRESERVE: True},
    }
    schema["required"] = sorted({*schema.get("required", ()), "apiVersion", "kind", "metadata"})
    return closed(schema)


def closed(schema: Schema) -> Schema:
    """``schema`` with every object closed that lists its fields, or that lists none and allows none."""
    result: Schema = {name: _closed_keyword(name, value) for name, value in schema.items()}
    is_object = schema.get("type") == "object" or "properties" in schema
    if is_object and not schema.get(_PRESERVE) and "additionalProperties" not in schema:
        result["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in result:
        result["type"] = [*_listed(result["type"]), "null"]
    if schema.get("type") == "integer" and schema.get("format") in _BOUNDS:
        bound = _BOUNDS[schema["format"]]
        result.setdefault("minimum", -bound)
        result.setdefault("maximum", bound - 1)
    return result


def complaints(schema: Schema, document: object) -> list[str]:
    """Everything that is wrong with ``document``, as ``path: message``; sorted."""
    errors: Iterator[ValidationError] = _Validator(schema).iter_errors(document)
    return sorted(f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}" for error in errors)


def _closed_keyword(name: str, value: Any) -> Any:
    if name in {"properties", "$defs"}:
        return {field: closed(schema) for field, schema in value.items()}
    if name in {"items", "additionalProperties"} and isinstance(value, Mapping):
        return closed(dict(value))
    if name in {"anyOf", "allOf", "oneOf"}:
        return [closed(each) for each in value]
    return value


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _unique_keys(_: object, keys: list[str], items: object, schema: Schema) -> Iterator[ValidationError]:
    """``x-kubernetes-list-map-keys``: no two entries of the list have the same values there."""
    if not isinstance(items, list):
        return
    defaults = {key: schema["items"]["properties"][key].get("default") for key in keys}
    seen = set[tuple[object, ...]]()
    for item in items:
        identity = tuple(item.get(key, defaults[key]) for key in keys)
        if identity in seen:
            yield ValidationError(f"two entries have {dict(zip(keys, identity, strict=True))}")
        seen.add(identity)


_Validator = extend(Draft202012Validator, {"x-kubernetes-list-map-keys": _unique_keys})
