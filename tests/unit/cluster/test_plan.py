"""``stowage plan`` as its users meet it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from cluster.planning.plan_report import PlanReport
from tests.unit.cluster.conftest import Stowage


def second_version(config: Path, args: str) -> str:
    """The configuration of the fixture with one more version of its model."""
    text = config.read_text()
    other = text[text.index("  - name: tiny") :].replace("tiny@1", "tiny@2")
    return text + other.replace("model: tiny,", f"model: tiny, version: 2, {args}")


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    path = tmp_path / "nodes.yaml"
    path.write_text(
        "nodes:\n"
        "  - {name: gpu, count: 2, device: h100-80gb, num_devices: 2, memory: 64GiB, num_cpus: 8,"
        " price_per_hour: 19.5}\n"
        "  - {name: cpu, count: 1, memory: 16GiB, num_cpus: 4}\n",
        encoding="utf-8",
    )
    return path


def test_a_model_that_is_not_stored_is_planned_from_its_headers_like_a_stored_one(
    stowage: Stowage, config: Path
) -> None:
    before = stowage("plan", config, "--json", "--node-memory", "2GiB")
    assert before.code == 0
    assert "reading the headers of tiny@1" in before.err
    assert not (config.parent / "store").exists()
    after = stowage("plan", config, "--import", "--json", "--node-memory", "2GiB")
    assert (config.parent / "store" / "tiny" / "1").exists()
    assert after.json == before.json


def test_what_json_says_adds_up(stowage: Stowage, config: Path) -> None:
    outcome = stowage("plan", config, "--json", "--node-memory", "2GiB")
    report = PlanReport.model_validate_json(outcome.out)
    (model,) = report.models
    assert model.plan is not None
    assert model.plan.total_bytes == sum(term.bytes for term in model.plan.terms) <= model.plan.budget_bytes
    ((memory,),) = (node.devices for node in report.nodes)
    assert (memory.capacity_bytes, memory.used_bytes) == (2 << 30, model.plan.budget_bytes)
    assert report.node_memory.used_bytes == memory.used_bytes
    assert (report.gpus.num_devices, report.cost_per_hour) == (0, None)


def test_the_tables_the_picture_and_the_summary(stowage: Stowage, config: Path, nodes: Path) -> None:
    config.write_text(second_version(config, "device: cpu,"))
    out = stowage("plan", config, "--nodes", nodes).out
    header, first, second, *_ = out.splitlines()
    assert header.split()[:4] == ["model", "engine", "weights", "kv_cache"]
    assert first.split()[:4] == ["tiny@1", "transformers", "4.5", "KiB"]
    assert second.split()[0] == "tiny@2"
    places = {line.split()[1]: line for line in out.splitlines() if line.startswith((" A ", " B "))}
    assert "h100-80gb" in places["tiny@1"]
    assert "num_gpus 0.00" in places["tiny@1"]
    assert places["tiny@1"].rstrip().endswith("gpu-0/0")
    assert places["tiny@2"].rstrip().endswith("cpu-0")
    assert "gpu-1  2 x h100-80gb, 0 of 8 CPUs, 64.0 GiB, 19.50 per hour" in out
    assert "  GPU 1  " + "-" * 40 in out
    assert "on 1 of 4." in out
    assert "Cost per hour: 39.00, of nodes in use 19.50; nodes without a price: 1." in out


def test_a_device_can_be_made_up(stowage: Stowage, config: Path) -> None:
    options = ("--device", "t4-16gb", "--num-devices", "2", "--num-nodes", "3", "--json")
    report = PlanReport.model_validate_json(stowage("plan", config, *options).out)
    assert (len(report.nodes), report.gpus.num_devices) == (3, 6)
    (model,) = report.models
    assert model.plan is not None
    assert (model.plan.device, model.plan.num_ranks) == ("t4-16gb", 1)


def test_what_does_not_fit_is_proved_and_exits_with_1(stowage: Stowage, config: Path) -> None:
    outcome = stowage("plan", config, "--node-memory", "1MiB")
    assert outcome.code == 1
    assert "tiny@1 needs" in outcome.err
    assert "larger node" in outcome.err
    assert "nowhere" in outcome.out
    machine = stowage("plan", config, "--node-memory", "1MiB", "--json")
    assert machine.code == 1
    assert machine.json["fits"] is False
    assert machine.json["problems"] == [machine.json["models"][0]["problem"]]


def test_every_replica_needs_a_place(stowage: Stowage, config: Path) -> None:
    config.write_text(second_version(config, "min_replicas: 2, max_replicas: 2,"))
    one = stowage("plan", config, "--json", "--node-memory", "1GiB")
    assert one.code == 1
    assert [model["problem"] for model in one.json["models"]] == [None, None]
    assert "add 2 nodes" in one.json["problems"][0] or "add 1 node" in one.json["problems"][0]
    assert stowage("plan", config, "--node-memory", "1GiB", "--num-nodes", "3").code == 0


@pytest.mark.parametrize(
    ("override", "low", "high"),
    [("num_replicas: 3", 3, 3), ("autoscaling_config: {min_replicas: 2, max_replicas: 4}", 2, 4)],
)
def test_overridden_replicas_count(stowage: Stowage, config: Path, override: str, low: int, high: int) -> None:
    config.write_text(f"{config.read_text()}    deployments: [{{name: Model, {override}}}]\n")
    for at, expected in (("min", low), ("max", high)):
        (model,) = stowage("plan", config, "--json", "--node-memory", "8GiB", "--at", at).json["models"]
        assert (model["min_replicas"], model["max_replicas"], model["num_replicas"]) == (low, high, expected)
        assert [place["node"] for place in model["places"]] == ["node-0"] * expected


def test_the_places_are_written_where_they_are_taken_from_again(
    stowage: Stowage, config: Path, nodes: Path
) -> None:
    written = config.with_name("placed.yaml")
    assert stowage("plan", config, "--nodes", nodes, "--write", written).code == 0
    (_, app) = yaml.safe_load(written.read_text())["applications"]
    assert app["args"]["placement"] == [{"node": "gpu-0", "devices": [0]}]
    assert stowage("validate", written).code == 0
    moved = config.with_name("moved.yaml")
    moved.write_text(written.read_text().replace("gpu-0, devices: [0]", "gpu-1, devices: [1]"))
    (model,) = stowage("plan", moved, "--nodes", nodes, "--json").json["models"]
    assert model["places"] == [{"replica": 0, "ranks": [0], "node": "gpu-1", "devices": [1]}]


def test_places_that_are_gone_are_named_and_can_be_written_anew(
    stowage: Stowage, config: Path, nodes: Path
) -> None:
    gone = config.with_name("gone.yaml")
    gone.write_text(
        config.read_text().replace("model: tiny,", "model: tiny, placement: [{node: x, devices: [0]}],")
    )
    outcome = stowage("plan", gone, "--nodes", nodes)
    assert outcome.code == 1
    assert "tiny@1: replica 0 cannot lie on x/0" in outcome.err
    assert stowage("plan", gone, "--nodes", nodes, "--write", gone).code == 0
    assert stowage("plan", gone, "--nodes", nodes).code == 0


def test_a_plan_that_does_not_hold_for_all_replicas_is_not_written(stowage: Stowage, config: Path) -> None:
    target = config.with_name("placed.yaml")
    config.write_text(config.read_text().replace("model: tiny,", "model: tiny, max_replicas: 2,"))
    outcome = stowage("plan", config, "--node-memory", "4GiB", "--write", target)
    assert outcome.code == 1
    assert "tiny@1 (up to 2)" in outcome.err
    assert "--at max" in outcome.err
    assert "is not written" in stowage("plan", config, "--node-memory", "1MiB", "--write", target).err
    assert not target.exists()
    assert stowage("plan", config, "--node-memory", "4GiB", "--at", "max", "--write", target).code == 0
    assert target.read_text().count("{node: node-0}") == 2


RAY_UP = """\
head_node_type: head
available_node_types:
  head: {resources: {CPU: 8, memory: 64000000000, GPU: 1}, labels: {stowage.io/device: t4-16gb%s}}
"""


def test_places_are_written_only_on_nodes_that_will_be_called_so(stowage: Stowage, config: Path) -> None:
    nodes, target = config.with_name("cluster.yaml"), config.with_name("placed.yaml")
    nodes.write_text(RAY_UP % "")
    for options in ((), ("--nodes", nodes)):
        outcome = stowage("plan", config, *options, "--write", target)
        assert outcome.code == 1
        assert f"is not written: no live node is sure to be called {'head-0' if options else 'this-machine'}" in (
            outcome.err
        )
        assert "--address URL" in outcome.err
    assert not target.exists()
    nodes.write_text(RAY_UP % ", stowage.io/node: gpu")
    assert stowage("plan", config, "--nodes", nodes, "--write", target).code == 0
    (_, app) = yaml.safe_load(target.read_text())["applications"]
    assert app["args"]["placement"] == [{"node": "gpu", "devices": [0]}]


def test_the_picture_as_a_file(stowage: Stowage, config: Path, nodes: Path) -> None:
    target = config.with_name("plan.svg")
    assert stowage("plan", config, "--nodes", nodes, "--svg", target).code == 0
    root = ET.parse(target).getroot()  # noqa: S314 - our own
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text == "serve_config.yaml: 1 models on 3 nodes"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--device", "h100-80g"], "h100-80gb"),
        (["--num-devices", "2"], "--device"),
        (["--nodes", "absent.yaml"], "absent.yaml"),
        (["--nodes", "absent.yaml", "--device", "h100-80gb"], "--device"),
        (["--address", "http://127.0.0.1:1", "--device", "h100-80gb"], "give --address alone"),
        (["--address", "http://127.0.0.1:1"], "no Ray dashboard answers"),
        (["--svg", "/absent/folder/plan.svg"], "cannot write '/absent/folder/plan.svg'"),
    ],
)
def test_what_cannot_be_done_is_one_message_with_a_remedy(
    stowage: Stowage, config: Path, options: list[str], part: str
) -> None:
    outcome = stowage("plan", config, *options)
    assert outcome.code == 1
    assert part in outcome.err
    assert "Traceback" not in outcome.err


def test_all_that_is_wrong_with_the_models_is_said_at_once(stowage: Stowage, config: Path) -> None:
    config.write_text(second_version(config, "device: h100-80gb,").replace("/weights", "/absent", 1))
    outcome = stowage("plan", config, "--node-memory", "2GiB")
    assert outcome.code == 1
    assert "absent does not exist" in outcome.err
    assert "tiny@2 wants device 'h100-80gb'" in outcome.err
