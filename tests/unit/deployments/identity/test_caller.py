"""What a key allows."""

from __future__ import annotations

import pytest

from deployments.identity.caller import ANONYMOUS, Caller, Role
from models.errors import PermissionDeniedError


@pytest.mark.parametrize(
    ("models", "allowed"),
    [
        (None, True),
        ((), False),
        (("other",), False),
        (("smollm2",), True),
        (("smollm2@1",), True),
        (("smollm2@2",), False),
        (("other", "smol*"), True),
        (("*@1",), True),
    ],
)
def test_models_are_allowed_by_name_version_or_pattern(models: tuple[str, ...] | None, allowed: bool) -> None:
    caller = Caller(key="k", tenant="t", models=models)
    assert caller.may_use(("smollm2", "smollm2@1")) is allowed


def test_who_operates_is_no_caller_by_that() -> None:
    Caller(key="k", tenant="t", roles=frozenset({Role.OPERATOR})).require(Role.OPERATOR)
    with pytest.raises(PermissionDeniedError, match="needs the role caller; the key's roles: admin, operator"):
        Caller(key="k", tenant="t", roles=frozenset({Role.OPERATOR, Role.ADMIN})).require(Role.CALLER)


def test_without_keys_everyone_may_do_everything() -> None:
    for role in Role:
        ANONYMOUS.require(role)
    assert ANONYMOUS.may_use(("any",))
