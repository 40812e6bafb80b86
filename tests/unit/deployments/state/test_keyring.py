from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.limits.limit_set import LimitSet
from deployments.state.api_key import ApiKey, KeyGrant, digest_text, make_text
from deployments.state.keyring import Keyring
from models.errors import AuthenticationError

NOW = 1_800_000_000.0
TEXT = make_text("annskey1")
OLD_TEXT = make_text("annskey1")
LIMITS = LimitSet(requests_per_minute=60)
KEY = ApiKey("annskey1", digest_text(TEXT), KeyGrant(owner="ann", limits=LIMITS), created_at=NOW - 100)
OTHER = ApiKey("bobskey1", digest_text(make_text("bobskey1")), KeyGrant(owner="bob"), created_at=NOW - 100)
ROTATED = dataclasses.replace(KEY, previous_digest=digest_text(OLD_TEXT), previous_until=NOW + 10)


def refusal(key: ApiKey, presented: str, now: float = NOW) -> str:
    with pytest.raises(AuthenticationError) as caught:
        Keyring([key, OTHER]).identify(presented, now)
    return str(caught.value)


def test_the_whole_text_identifies() -> None:
    assert Keyring([KEY, OTHER]).identify(TEXT, NOW) == KEY.caller


@pytest.mark.parametrize(
    "presented",
    [
        "",
        "sk-stow-",
        "Ключ",
        "\ud800",
        TEXT[:-1],
        TEXT + "x",
        TEXT.lower(),
        TEXT.replace("annskey1", "bobskey1"),
        TEXT.replace("annskey1", "unknown1"),
        make_text("annskey1"),
        KEY.digest,
        "0" * 64,
    ],
    ids=str.split(
        "nothing scheme letters surrogate cut longer lower of-another of-nobody another-secret digest zeros"
    ),
)
def test_everything_else_is_refused_in_the_same_words(presented: str) -> None:
    assert refusal(KEY, presented) == "invalid API key"


@given(st.text(max_size=80))
def test_no_other_text_identifies(presented: str) -> None:
    assert refusal(KEY, presented) == "invalid API key"


def test_a_revoked_key_is_told_as_such_to_those_who_have_it() -> None:
    revoked = dataclasses.replace(ROTATED, revoked_at=NOW - 1)
    assert refusal(revoked, TEXT) == "API key annskey1 was revoked on 2027-01-15 07:59 UTC"
    assert "was revoked" in refusal(revoked, OLD_TEXT)
    assert refusal(revoked, make_text("annskey1")) == "invalid API key"


def test_a_key_expires_at_its_second() -> None:
    key = dataclasses.replace(KEY, grant=KEY.grant.model_copy(update={"expires_at": NOW}))
    assert Keyring([key]).identify(TEXT, NOW - 0.001) == key.caller
    assert refusal(key, TEXT) == "API key annskey1 expired on 2027-01-15 08:00 UTC"
    assert refusal(key, make_text("annskey1")) == "invalid API key"


def test_after_a_rotation_both_texts_are_good_until_the_grace_ends() -> None:
    keyring = Keyring([ROTATED])
    assert keyring.identify(TEXT, NOW) == keyring.identify(OLD_TEXT, NOW + 9.9) == KEY.caller
    assert keyring.identify(TEXT, NOW + 10) == KEY.caller
    assert "was rotated, and its old text ended on" in refusal(ROTATED, OLD_TEXT, NOW + 10)


def test_no_refusal_shows_what_was_presented() -> None:
    revoked = dataclasses.replace(ROTATED, revoked_at=NOW - 1)
    for presented in (TEXT, OLD_TEXT, make_text("annskey1"), "hunter2"):
        assert presented not in refusal(revoked, presented)


def test_limits_are_those_of_the_key_and_always_the_same_object() -> None:
    keyring = Keyring([KEY, OTHER])
    assert keyring.limits("annskey1") is LIMITS
    assert keyring.limits("bobskey1") == LimitSet()


def test_its_length_says_whether_there_are_keys_at_all() -> None:
    assert [len(Keyring(keys)) for keys in ([], [KEY], [KEY, OTHER])] == [0, 1, 2]
