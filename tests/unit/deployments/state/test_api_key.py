from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.identity.caller import Caller, Priority, Role
from deployments.limits.limit_set import LimitSet
from deployments.state.api_key import (
    ApiKey,
    IssuedKey,
    KeyGrant,
    digest_text,
    make_prefix,
    make_text,
    read_prefix,
)


def test_a_key_s_text_has_a_public_prefix_and_256_secret_bits() -> None:
    prefix = make_prefix()
    text = make_text(prefix)
    assert re.fullmatch(rf"sk-stow-{prefix}-[A-Za-z0-9]{{43}}", text)
    assert 62**43 > 2**256
    assert read_prefix(text) == prefix
    assert len({make_text(prefix) for _ in range(100)}) == 100


def test_the_source_of_chance_decides_the_whole_text() -> None:
    assert make_text("abcdefgh", lambda letters: letters[0]) == f"sk-stow-abcdefgh-{'a' * 43}"


def test_the_digest_is_sha256() -> None:
    assert digest_text("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.text())
def test_any_text_has_a_digest(text: str) -> None:
    assert len(digest_text(text)) == 64


def test_an_issued_key_does_not_show_its_text_by_itself() -> None:
    text = make_text("abcdefgh")
    issued = IssuedKey(ApiKey("abcdefgh", digest_text(text), KeyGrant(owner="ann"), created_at=0), text)
    assert text not in f"{issued} {issued!r} {[issued]}"


@pytest.mark.parametrize(
    ("field", "value"),
    [("owner", ""), ("owner", "a\nb"), ("owner", "a" * 129), ("tenant", ""), ("roles", []), ("roles", ["boss"]),
     ("models", []), ("limits", {"tokens": 1}), ("limits", {"requests_per_minute": 0}), ("expiry", 3)],
)  # fmt: skip
def test_a_grant_is_checked(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        KeyGrant.model_validate({"owner": "ann", field: value})


def test_a_key_s_caller_is_what_was_granted() -> None:
    grant = KeyGrant(
        owner="ann",
        tenant="search",
        roles=(Role.OPERATOR,),
        models=("smol*",),
        priority=Priority.BATCH,
        limits=LimitSet(requests_per_minute=1),
    )
    assert ApiKey("abcdefgh", "0" * 64, grant, created_at=0).caller == Caller(
        key="abcdefgh",
        tenant="search",
        owner="ann",
        roles=frozenset({Role.OPERATOR}),
        models=("smol*",),
        priority=Priority.BATCH,
    )
