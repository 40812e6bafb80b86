"""The placement group of a group of ranks, which Serve leaves out of its account of what is deployed.

It travels in the deployment's ``user_config``, beside the card, so that whoever asks Serve can say which rank
finds no node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

Strategy = Literal["PACK", "STRICT_PACK"]

_FIELD = "bundles"


@dataclass(frozen=True, slots=True)
class Bundles:
    """Serve's options of the same names. Bundle r is that of rank r, by Ray's names, ``memory`` in bytes.

    ``label_selectors`` are as many, or none where every node will do.
    """

    bundles: tuple[Mapping[str, float], ...]
    strategy: Strategy
    label_selectors: tuple[Mapping[str, str], ...] = ()


_BUNDLES = TypeAdapter(Bundles)


def with_bundles(user_config: object, bundles: Bundles) -> JsonValue:
    """The ``user_config`` of a model, with its bundles in it."""
    if not isinstance(user_config, dict):
        raise TypeError(f"a user_config that is {user_config!r} takes no bundles")
    return {**user_config, _FIELD: _BUNDLES.dump_python(bundles, mode="json")}


def load_bundles(user_config: object) -> Bundles | None:
    """The bundles of a ``user_config``; None where there are none that this release can read."""
    if not isinstance(user_config, dict) or _FIELD not in user_config:
        return None
    try:
        return _BUNDLES.validate_python(user_config[_FIELD])
    except ValidationError:
        return None
