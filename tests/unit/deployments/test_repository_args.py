"""Applications that are loaded at run time are written as the file would have them, and checked as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from deployments.args import ModelArgs
from deployments.importing import ensure_imported
from deployments.repository.orders import Change, Deployed, LoadOrder
from deployments.repository_args import changed_args, write_model
from models.errors import ConflictError, InvalidRequestError, VersionNotFoundError
from models.types import VersionId
from tests.unit.models.tiny_models import write_encoder

MINI = VersionId("mini", "1")
POOL: dict[str, JsonValue] = {
    "name": "small",
    "memory": "1GiB",
    "models": [{"model": "mini"}, {"model": "mini", "version": "2"}],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mini`` 9 and 10."""
    folder = tmp_path_factory.mktemp("store")
    source = f"file:{write_encoder(folder / 'encoder')}"
    for version in ("9", "10"):
        args = {"model": "mini", "version": version, "source": source, "store": str(folder / "models")}
        ensure_imported(ModelArgs.model_validate(args))
    return folder / "models"


def deployed(**args: JsonValue) -> Deployed:
    return Deployed({"name": "mini@1", "import_path": "deployments.app:build_model", "args": args})


def pool() -> Deployed:
    return Deployed({"name": "pool-small", "import_path": "deployments.pool_app:build_pool", "args": POOL})


def test_the_newest_version_comes_from_where_the_others_are(store: Path) -> None:
    there = [deployed(model="mini", version="1", store=str(store)), pool()]
    written = write_model(LoadOrder("mini", args={"min_replicas": 0}), there)
    assert (written["name"], written["import_path"]) == ("mini@10", "deployments.app:build_model")
    assert isinstance(written["args"], dict)
    args = ModelArgs.model_validate(written["args"])
    assert (args.store, args.min_replicas, args.task, args.dtype) == (str(store), 0, "embed", "float32")
    assert args.source is not None  # for nodes that do not have it


def test_a_version_may_be_named_and_its_store_too(store: Path) -> None:
    assert write_model(LoadOrder("mini", "9", {"store": str(store)}), [])["name"] == "mini@9"
    with pytest.raises(VersionNotFoundError, match="mini@8"):
        write_model(LoadOrder("mini", "8", {"store": str(store)}), [])
    with pytest.raises(VersionNotFoundError, match="no version of model 'absent'"):
        write_model(LoadOrder("absent", args={"store": str(store)}), [])


def test_of_several_stores_one_has_to_be_named() -> None:
    there = [deployed(model="a", store="/one"), deployed(model="b", store="/two")]
    with pytest.raises(InvalidRequestError, match="/one, /two") as refused:
        write_model(LoadOrder("mini"), there)
    assert refused.value.param == "store"


@pytest.mark.parametrize(
    ("args", "param"),
    [
        ({"source": "file:/etc"}, "source"),
        ({"allow_pickle": True}, "allow_pickle"),
        ({"replicas": 2}, "replicas"),
        ({"max_replicas": 0}, "max_replicas"),
        ({"limits": {"max_num_seqs": 0}}, "limits.max_num_seqs"),
        ({"min_replicas": 3}, None),
    ],
)
def test_what_may_not_be_given_is_named(store: Path, args: dict[str, JsonValue], param: str | None) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        write_model(LoadOrder("mini", "9", {"store": str(store), **args}), [])
    assert refused.value.param == param


@pytest.mark.parametrize("version", ["..", "a/b"])
def test_a_version_that_cannot_be_is_refused(store: Path, version: str) -> None:
    with pytest.raises(InvalidRequestError):
        write_model(LoadOrder("mini", version, {"store": str(store)}), [])


def test_replicas_are_changed_and_nothing_else() -> None:
    before = deployed(model="mini", max_replicas=2, device="cpu")
    assert changed_args(before, MINI, Change(min_replicas=0)) == {**before.args, "min_replicas": 0}
    with pytest.raises(InvalidRequestError, match="min_replicas 3 exceeds max_replicas 2"):
        changed_args(before, MINI, Change(min_replicas=3))
    with pytest.raises(ConflictError, match="processes of its own"):
        changed_args(before, MINI, Change(pinned=True))


def test_replicas_that_the_file_overrides_are_left_to_it() -> None:
    block: list[JsonValue] = [{"name": "Model", "num_replicas": 2}]
    overridden = Deployed({**deployed(model="mini").written, "deployments": block})
    with pytest.raises(ConflictError, match="deployments block of mini@1"):
        changed_args(overridden, MINI, Change(max_replicas=3))


def test_one_model_of_a_pool_is_pinned() -> None:
    changed = changed_args(pool(), MINI, Change(pinned=True))
    assert changed["models"] == [{"model": "mini", "pinned": True}, {"model": "mini", "version": "2"}]
    with pytest.raises(ConflictError, match="replicas of a pool"):
        changed_args(pool(), MINI, Change(max_replicas=2))
