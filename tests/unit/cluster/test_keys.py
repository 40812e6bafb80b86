"""``stowage keys`` as operators meet it, on a real SQLite file; what it makes is judged by a router's keyring."""

from __future__ import annotations

import getpass
import time
from pathlib import Path

import pytest

from deployments.identity.caller import Caller, Priority, Role
from deployments.limits.limit_set import LimitSet
from deployments.state.admin_events import claim_unexported
from deployments.state.database import Database
from deployments.state.keyring import Keyring
from deployments.state.keys import Keys
from models.errors import AuthenticationError
from tests.unit.cluster.conftest import Stowage


@pytest.fixture
def state(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


def keyring(state: str) -> Keyring:
    with Database.open(state) as database:
        return Keyring(Keys(database).list())


def identify(state: str, text: str) -> Caller:
    return keyring(state).identify(text, time.time())


def test_the_last_line_is_a_key_that_works(stowage: Stowage, state: str) -> None:
    printed = stowage("keys", "create", "ann", "--state", state).out.splitlines()
    caller = identify(state, printed[-1])
    assert caller == Caller(key=caller.key, tenant="default", owner="ann")
    assert str(caller.key) in printed[1]


def test_quiet_prints_nothing_else(stowage: Stowage, state: str) -> None:
    outcome = stowage("keys", "create", "ann", "--quiet", "--state", state)
    assert identify(state, outcome.out.removesuffix("\n")).owner == "ann"
    assert outcome.err == ""


def test_every_option_reaches_the_key(stowage: Stowage, state: str) -> None:
    options = (
        "--tenant search --role operator --role caller --model smol* --model minilm@2 --priority batch "
        "--limit requests_per_minute=60 --limit cost_per_day=2.5 --expires 90d --json"
    )
    made = stowage("keys", "create", "ann", "--state", state, *options.split()).json
    assert identify(state, made["key"]) == Caller(
        key=made["prefix"],
        tenant="search",
        owner="ann",
        roles=frozenset({Role.OPERATOR, Role.CALLER}),
        models=("smol*", "minilm@2"),
        priority=Priority.BATCH,
    )
    assert keyring(state).limits(made["prefix"]) == LimitSet.model_validate(
        {"requests_per_minute": 60, "cost_per_day": "2.5"}
    )
    with pytest.raises(AuthenticationError, match="expired"):
        keyring(state).identify(made["key"], time.time() + 90 * 86400)
    assert identify(state, made["key"])


def test_a_list_shows_what_each_key_is_for_and_never_a_secret(stowage: Stowage, state: str) -> None:
    text = stowage("keys", "create", "ann", "--model", "smol*", "-q", "--state", state).out.strip()
    stowage("keys", "create", "bob", "--limit", "tokens_per_day=1000", "--state", state)
    listed = stowage("keys", "list", "--state", state)
    assert [line.split()[1] for line in listed.out.splitlines()] == ["owner", "ann", "bob"]
    assert "smol*" in listed.out
    assert "tokens_per_day=1000" in listed.out
    as_json = stowage("keys", "list", "--json", "--state", state)
    assert [key["owner"] for key in as_json.json] == ["ann", "bob"]
    for shown in (listed.out, as_json.out):
        assert text not in shown
        assert "digest" not in shown


def test_no_keys_are_no_error(stowage: Stowage, state: str) -> None:
    assert stowage("keys", "list", "--state", state).out == "no API keys\n"
    assert stowage("keys", "list", "--json", "--state", state).json == []


def test_a_rotated_key_works_in_both_texts_for_its_grace(stowage: Stowage, state: str) -> None:
    old = stowage("keys", "create", "ann", "--json", "--state", state).json
    rotated = stowage("keys", "rotate", old["prefix"], "--grace", "1h", "--json", "--state", state).json
    assert identify(state, old["key"]) == identify(state, rotated["key"])
    with pytest.raises(AuthenticationError, match="rotated"):
        keyring(state).identify(old["key"], time.time() + 3601)
    assert "the text before until" in stowage("keys", "list", "--state", state).out


def test_without_grace_the_old_text_ends_now(stowage: Stowage, state: str) -> None:
    old = stowage("keys", "create", "ann", "--json", "--state", state).json
    new = stowage("keys", "rotate", old["prefix"], "--grace", "0s", "--quiet", "--state", state).out.strip()
    assert identify(state, new).owner == "ann"
    with pytest.raises(AuthenticationError, match="rotated"):
        identify(state, old["key"])


def test_a_revoked_key_is_refused_and_still_listed(stowage: Stowage, state: str) -> None:
    made = stowage("keys", "create", "ann", "--json", "--state", state).json
    assert stowage("keys", "revoke", made["prefix"], "--state", state).out == f"Revoked {made['prefix']} of ann.\n"
    with pytest.raises(AuthenticationError, match="revoked"):
        identify(state, made["key"])
    assert "revoked 20" in stowage("keys", "list", "--state", state).out
    assert (
        stowage("keys", "revoke", made["prefix"], "--json", "--state", state).json["revoked_at"].endswith("+00:00")
    )


def test_an_expired_key_is_listed_as_such(stowage: Stowage, state: str) -> None:
    stowage("keys", "create", "ann", "--expires", "0s", "--state", state)
    assert "expired 20" in stowage("keys", "list", "--state", state).out


def test_an_unknown_key_is_exit_code_1_with_a_remedy(stowage: Stowage, state: str) -> None:
    outcome = stowage("keys", "revoke", "nobody99", "--state", state)
    assert outcome.code == 1
    assert outcome.err == "Error: there is no API key 'nobody99' (`stowage keys list` shows those there are)\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["", "--tenant", "x"], "owner: String should have at least 1 character"),
        (["ann", "--limit", "tokens=3"], "'tokens=3' is no limit"),
        (["ann", "--limit", "requests_per_minute=0"], "requests_per_minute: Input should be greater than 0"),
        (["ann", "--limit", "requests_per_minute=many"], "requests_per_minute: Input should be a valid integer"),
    ],
)
def test_what_a_key_cannot_be_is_wrong_usage(
    stowage: Stowage, state: str, options: list[str], complaint: str
) -> None:
    outcome = stowage("keys", "create", *options, "--state", state)
    assert outcome.code == 2
    assert complaint in outcome.err


def test_the_configuration_names_the_database(stowage: Stowage, state: str, config: Path) -> None:
    written = config.read_text().replace(":build_router\n", f":build_router\n    args: {{state: {state}}}\n")
    config.write_text(written)
    text = stowage("keys", "create", "ann", "--quiet", "--config", config).out.strip()
    assert identify(state, text).owner == "ann"


def test_a_variable_can_hold_the_url(stowage: Stowage, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_URL", state)
    text = stowage("keys", "create", "ann", "--quiet", "--state", "env:STATE_URL").out.strip()
    assert identify(state, text).owner == "ann"


def test_the_default_is_in_the_home_folder(
    stowage: Stowage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = stowage("keys", "create", "ann", "--quiet").out.strip()
    assert identify(f"sqlite:///{tmp_path}/.stowage/state.db", text).owner == "ann"


def test_an_outage_is_exit_code_1_and_does_not_show_the_password(stowage: Stowage, closed_url: str) -> None:
    outcome = stowage("keys", "list", "--state", f"postgresql://u:hunter2@{closed_url.removeprefix('http://')}/x")
    assert outcome.code == 1
    assert "the state database does not answer" in outcome.err
    assert "hunter2" not in outcome.err


def test_who_made_a_change_is_kept(stowage: Stowage, state: str) -> None:
    stowage("keys", "create", "ann", "--state", state)
    with Database.open(state) as database, database.transaction() as connection:
        (event,) = claim_unexported(connection, 10, now=0)
    assert (event.actor, event.action) == (f"cli:{getpass.getuser()}", "key.create")
    assert event.details["owner"] == "ann"
