"""What a rank reports of a version that is damaged on its node. Where it is, which Ray knows, the tests say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
import ray

from deployments import rank_process
from deployments.args import ModelArgs
from deployments.rank_process import RankProcess
from deployments.replica_node import ReplicaNode
from models.file_integrity import hash_files
from models.memory.plan import ANY_CPU, plan_memory
from models.parallel.preflight import Preflight
from models.parallel.report import Check, RankReport
from models.progress import NoProgress
from models.selection import INDEX_FILE
from models.store import StoredModel
from tests.unit.group_plans import grouped
from tests.unit.manifests import SMOLLM2
from tests.unit.models.parallel.families import build, config_of, store


@pytest.fixture
def stored(tmp_path: Path) -> StoredModel:
    """A small model, in several files."""
    folder = tmp_path / "tiny" / "1"
    manifest = store(build(config_of("llama")), folder, max_shard_size="20KB")
    return resealed(StoredModel(manifest, folder))


def resealed(stored: StoredModel) -> StoredModel:
    """As if it had been imported as it is now."""
    files = hash_files(stored.folder, NoProgress())
    return StoredModel(stored.manifest.model_copy(update={"files": files}), stored.folder)


Report = Callable[[StoredModel], RankReport]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Report]:
    """Of rank 0, without peers, on a node that holds this version."""
    opened: list[Preflight] = []

    def open_preflight(*given: object) -> Preflight:
        opened.append(Preflight(*given))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(rank_process, "Preflight", open_preflight)
    monkeypatch.setattr(rank_process, "this_node", lambda: ReplicaNode("gpu-3", "id", tmp_path / "node"))
    monkeypatch.setattr(rank_process, "reserved_resources", lambda: {"memory": 1e12})
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    yield partial(report_of, monkeypatch)
    for preflight in opened:
        preflight.close()


def report_of(monkeypatch: pytest.MonkeyPatch, stored: StoredModel) -> RankReport:
    monkeypatch.setattr(rank_process, "ensure_imported", lambda *_: stored)
    args = ModelArgs.model_validate({"model": "smollm2-135m", "parallel": "auto"})
    budget_bytes = args.memory.on(ANY_CPU)
    plan = plan_memory(SMOLLM2, args.limits, "transformers", device=ANY_CPU, budget_bytes=budget_bytes)
    group = grouped(plan, 1, 2).group
    assert group is not None
    process = RankProcess(args, plan, group, 0)
    arrival = process.arrive(b"token", 20.0)
    return process.report([arrival.endpoint])


def of_files(report: RankReport) -> tuple[bool, str]:
    (found,) = [finding for finding in report.findings if finding.check is Check.FILES]
    assert (report.rank, report.node, report.findings[0].check) == (0, "gpu-3", Check.DEVICE)
    return found.is_ok, found.detail


def test_a_rank_checks_the_files_that_its_layers_are_in(stored: StoredModel, report: Report) -> None:
    is_ok, detail = of_files(report(stored))
    num_files = int(detail.split()[0])
    assert is_ok
    assert 3 < num_files < len(stored.manifest.files)


@pytest.mark.parametrize("name", ["config.json", INDEX_FILE])
def test_a_file_beside_the_weights_that_is_gone_is_a_finding(
    stored: StoredModel, report: Report, name: str
) -> None:
    (stored.folder / name).unlink()
    assert of_files(report(stored)) == (False, f"{name} is missing")


@pytest.mark.parametrize("name", ["config.json", INDEX_FILE])
def test_a_file_beside_the_weights_that_is_altered_is_a_finding(
    stored: StoredModel, report: Report, name: str
) -> None:
    path = stored.folder / name
    path.write_bytes(b"x" * path.stat().st_size)
    is_ok, detail = of_files(report(stored))
    assert not is_ok
    assert detail.startswith(f"{name} has SHA-256 ")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("config.json", "{", "OSError: It looks like the config file"),
        ("config.json", json.dumps({"model_type": "unheard-of"}), "ValueError: "),
        (INDEX_FILE, "{", "ValidationError: 1 validation error for ShardIndex"),
    ],
)
def test_what_cannot_be_read_as_it_was_imported_is_a_finding(
    stored: StoredModel, report: Report, name: str, content: str, found: str
) -> None:
    (stored.folder / name).write_text(content)
    is_ok, detail = of_files(report(resealed(stored)))
    assert not is_ok
    assert detail.startswith(found)


def test_a_rank_tells_the_versions_of_what_carries_messages_and_of_its_own_code(
    stored: StoredModel, report: Report
) -> None:
    versions = report(stored).versions
    assert versions["ray"] == version("ray")
    assert len(versions["stowage"]) == 8
