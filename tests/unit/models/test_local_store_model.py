"""The store against a dictionary, under any sequence of operations."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models.errors import StoreError, VersionNotFoundError
from models.local_store import LocalStore, Staging
from models.manifest import Manifest
from models.types import VersionId
from tests.unit.models.store_content import contents, fill_with

versions = st.builds(VersionId, st.sampled_from(["a", "b-2", "c.d"]), st.sampled_from(["1", "2"]))
files = st.dictionaries(st.sampled_from(["x", "y/z", "config.json"]), st.binary(max_size=9), max_size=3)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.store = LocalStore(self.root)
        self.model: dict[VersionId, dict[str, bytes]] = {}

    @rule(version=versions, content=files)
    def add(self, version: VersionId, content: dict[str, bytes]) -> None:
        self.store.add(version, fill_with(version, content))
        self.model.setdefault(version, content)

    @rule(version=versions, content=files)
    def fail_to_add(self, version: VersionId, content: dict[str, bytes]) -> None:
        def fill(staging: Staging) -> Manifest:
            fill_with(version, content)(staging)
            raise StoreError("disk full")

        if version not in self.model:
            with pytest.raises(StoreError, match="disk full"):
                self.store.add(version, fill)

    @rule(version=versions)
    def remove(self, version: VersionId) -> None:
        if version in self.model:
            self.store.remove(version)
            del self.model[version]
        else:
            with pytest.raises(VersionNotFoundError):
                self.store.remove(version)

    @rule()
    def open_again(self) -> None:
        self.store = LocalStore(self.root)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert [manifest.id for manifest in self.store.list()] == sorted(self.model)
        for version, content in self.model.items():
            self.store.verify(version)
            assert contents(self.store.get(version).folder) == content
        assert list((self.root / ".staging").glob("*")) == []

    def teardown(self) -> None:
        shutil.rmtree(self.root)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
