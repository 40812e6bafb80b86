"""API keys: what is kept of them, and how their text is made and recognised.

A key is ``sk-stow-PREFIX-SECRET``: 8 public letters and digits that name it, and 43 secret ones. The secret has
256 bits from the system's generator, so one SHA-256 of the whole is all that has to be kept: slow hashes are for
passwords, which can be guessed.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, NamedTuple

from pydantic import Field, StringConstraints

from deployments.identity.caller import Caller, Priority, Role
from deployments.limits.limit_set import LimitSet
from models.manifest import Frozen

_SCHEME = "sk-stow-"
_ALPHABET = string.ascii_letters + string.digits
_PREFIX_CHARS = 8
_SECRET_CHARS = 43  # of 62 kinds: 256 bits
_PREFIX_AT = slice(len(_SCHEME), len(_SCHEME) + _PREFIX_CHARS)

Label = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Choose = Callable[[str], str]
"""One character of a text, by chance."""


class KeyGrant(Frozen):
    """What a key is for. ``models``: names, ``name@version`` or glob patterns; None: every model.

    ``expires_at`` in seconds since the epoch; None: never.
    """

    owner: Label
    tenant: Label = "default"
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = (Role.CALLER,)
    models: Annotated[tuple[Label, ...], Field(min_length=1)] | None = None
    priority: Priority = Priority.INTERACTIVE
    limits: LimitSet = LimitSet()
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key: digests are SHA-256 in hex, times are seconds since the epoch.

    After a rotation ``previous_digest`` is that of the key it replaced, which is good until ``previous_until``.
    """

    prefix: str
    digest: str
    grant: KeyGrant
    created_at: float
    revoked_at: float | None = None
    rotated_at: float | None = None
    previous_digest: str | None = None
    previous_until: float | None = None

    @property
    def caller(self) -> Caller:
        grant = self.grant
        return Caller(
            key=self.prefix,
            tenant=grant.tenant,
            owner=grant.owner,
            roles=frozenset(grant.roles),
            models=grant.models,
            priority=grant.priority,
        )


class IssuedKey(NamedTuple):
    """A key with its text, which nothing can show a second time."""

    key: ApiKey
    text: str

    def __repr__(self) -> str:
        return f"IssuedKey(key={self.key!r})"


def make_prefix(choose: Choose = secrets.choice) -> str:
    """The public name of a new key."""
    return _draw(_PREFIX_CHARS, choose)


def make_text(prefix: str, choose: Choose = secrets.choice) -> str:
    """A whole new key."""
    return f"{_SCHEME}{prefix}-{_draw(_SECRET_CHARS, choose)}"


def read_prefix(text: str) -> str:
    """The prefix that a key's text claims; of what is no key, something that names none."""
    return text[_PREFIX_AT]


def digest_text(text: str) -> str:
    """What is kept of a key's text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _draw(num_chars: int, choose: Choose) -> str:
    return "".join(choose(_ALPHABET) for _ in range(num_chars))
