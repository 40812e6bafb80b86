"""Who made a change, also where the system has no name for them."""

from __future__ import annotations

import getpass
import os
import pwd

import pytest

from cluster.actor import actor


def test_a_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert actor() == f"cli:{getpass.getuser()}" == "cli:ann"


def test_who_has_no_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    unknown = max(user.pw_uid for user in pwd.getpwall() if user.pw_uid < 2**31) + 1
    monkeypatch.setattr(os, "getuid", lambda: unknown)
    assert actor() == f"cli:uid-{unknown}"
