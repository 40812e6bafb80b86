from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import StoreError
from models.store import LocalStore, open_store


def test_a_folder_is_a_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for location, root in {
        str(tmp_path / "m"): tmp_path / "m",
        "~/m": tmp_path / "m",
    }.items():
        store = open_store(location)
        assert isinstance(store, LocalStore)
        assert store.root == root


def test_the_default_is_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = open_store()
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / ".stowage" / "models"


@pytest.mark.parametrize("location", ["models", "./models", "", "http://host/models", "s3:models"])
def test_other_locations_are_refused(location: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(location)
    assert repr(location) in caught.value.message
