"""Rollouts in what `stowage status` and `stowage diff` say."""

from __future__ import annotations

import json
from pathlib import Path

from cluster.rollout_notes import rollout_notes
from deployments.routing.rollout import RolloutAction, RolloutPlan
from deployments.state.database import Database
from deployments.state.rollouts import Rollouts
from models.types import VersionId


def write_config(folder: Path, state: str) -> Path:
    path = folder / "serve_config.yaml"
    router = {"name": "router", "import_path": "deployments.app:build_router", "args": {"state": state}}
    path.write_text(json.dumps({"applications": [router]}))
    return path


def test_a_rollout_that_is_under_way_or_in_force_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    config = write_config(tmp_path, url)
    with Database.open(url) as database:
        assert rollout_notes(config) == []
        rollouts = Rollouts(database)
        rollouts.start("m", VersionId("m", "1"), VersionId("m", "2"), RolloutPlan(), "test")
        (note,) = rollout_notes(config)
        assert note.startswith("rollout of m: ")
        rollouts.act("m", RolloutAction.ABORT, "test")
        (note,) = rollout_notes(config)
        assert "all requests go to m@1, whatever the configuration says" in note


def test_no_database_is_made(tmp_path: Path) -> None:
    config = write_config(tmp_path, f"sqlite:///{tmp_path}/none.db")
    assert rollout_notes(config) == []
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    config = write_config(tmp_path, "postgresql://nobody@127.0.0.1:1/none")
    (note,) = rollout_notes(config)
    assert note.startswith("rollouts are not known: ")
