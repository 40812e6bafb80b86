"""Who makes a call, as every layer behind the door sees it: never with the key itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from models.errors import PermissionDeniedError


class Role(StrEnum):
    """What a key may be used for: a caller uses models, an operator loads, changes and unloads them.

    An admin may do what an operator may, and like one uses no model without the role of a caller. Keys are managed
    by whoever reaches the state database.
    """

    ADMIN = "admin"
    OPERATOR = "operator"
    CALLER = "caller"


class Priority(StrEnum):
    """Which requests go first when a model is saturated."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Caller:
    """``key`` is the public prefix of the API key, None where no keys are asked for.

    ``models`` are names, ``name@version`` or glob patterns of either; None: every model.
    """

    key: str | None
    tenant: str
    owner: str = ""
    roles: frozenset[Role] = frozenset({Role.CALLER})
    models: tuple[str, ...] | None = None
    priority: Priority = Priority.INTERACTIVE

    def may_use(self, names: Iterable[str]) -> bool:
        """Whether any of the names under which one model is known is allowed."""
        if self.models is None:
            return True
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.models)

    def require(self, role: Role) -> None:
        """PermissionDeniedError unless the caller has the role."""
        if role not in self.roles:
            held = ", ".join(sorted(self.roles)) or "none"
            raise PermissionDeniedError(f"this needs the role {role}; the key's roles: {held}")


NOBODY = Caller(key=None, tenant="", roles=frozenset(), models=())
"""Somebody without a valid key where one is needed: may see that the server is up."""

ANONYMOUS = Caller(key=None, tenant="default", roles=frozenset(Role))
"""The caller of a cluster without keys: it listens on loopback only, so whoever reaches it operates it."""
