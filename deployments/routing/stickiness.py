"""Which of several weighted versions one caller always gets. Pure: weighted rendezvous hashing.

Each version has a score that follows from the caller and the version alone, and the highest wins. With u uniform
in (0, 1) and the score -weight / ln(u), a version wins in proportion to its weight (Efraimidis and Spirakis,
"Weighted random sampling with a reservoir", 2006). When a weight changes, only callers of the share that must
move do: the scores of the other versions stay. Nothing is stored, and every router replica comes to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from math import log
from typing import Annotated

from pydantic import StringConstraints

from models.types import VersionId

HEADER = "header:"
Sticky = Annotated[str, StringConstraints(to_lower=True, pattern=rf"(?i)^(key|user|{HEADER}[\w-]+)$")]
"""By what requests stay with one version: ``key``, ``user`` or ``header:NAME``."""


def sticky_value(
    sticky: Sticky | None, key: str | None, user: str | None, attributes: Mapping[str, str]
) -> str | None:
    """What ``pick`` is asked with; None when nothing is sticky or the request does not have it.

    ``key`` is the public part of the API key, ``user`` the request's own field, ``attributes`` its headers with
    names in lower case.
    """
    if sticky is None:
        return None
    if sticky.startswith(HEADER):
        return attributes.get(sticky.removeprefix(HEADER))
    return key if sticky == "key" else user


def pick(value: str, route: str, weights: Mapping[VersionId, float]) -> VersionId:
    """The version for ``value``. Weights above 0; ``route`` makes each route deal its callers out anew."""
    prefix = f"{route}\0{value}\0"
    return max(weights, key=lambda version: -weights[version] / log(_uniform(f"{prefix}{version}")))


def _uniform(text: str) -> float:
    """A number in (0, 1), never 0 or 1, that only depends on ``text``."""
    bits = int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 12
    return (bits + 0.5) / 2**52
