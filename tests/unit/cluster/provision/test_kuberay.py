from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.config.environment import SERVE_DEFAULTS
from cluster.provision.kuberay.documents import kuberay_documents
from cluster.provision.registry import ProviderName, renderer
from cluster.provision.spec_file import load_spec
from models.coming_nodes import GROUPS_VARIABLE, coming_nodes
from models.errors import ConfigError
from tests.unit.cluster.provision.specs import COMMITTED, Changes, committed, problems_with, written

SPOT = {"karpenter.sh/capacity-type": "spot"}


def documents(folder: Path, changes: Changes) -> dict[str, Any]:
    return dict(kuberay_documents(load_spec(written(folder, changes))))


def cluster_of(files: dict[str, Any]) -> Any:
    (service,) = files["base/rayservice.yaml"]
    return service["spec"]["rayClusterConfig"]


def groups_of(files: dict[str, Any]) -> dict[str, Any]:
    """The groups of workers of both files, by name."""
    added = [step["value"] for step in files["overlays/gpu/worker-groups.yaml"][0]]
    return {group["groupName"]: group for group in (*cluster_of(files)["workerGroupSpecs"], *added)}


def pods_of(files: dict[str, Any]) -> Iterator[Any]:
    yield cluster_of(files)["headGroupSpec"]["template"]["spec"]
    for group in groups_of(files).values():
        yield group["template"]["spec"]


def test_the_committed_files_are_what_the_specification_makes() -> None:
    files = renderer(ProviderName.KUBERAY)(committed())
    assert len(files) == 5
    for path, text in files.items():
        assert (COMMITTED.parent / path).read_text(encoding="utf-8") == text


def test_a_specification_without_the_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no section kuberay.*add kuberay: with node_selectors"):
        documents(tmp_path, {("kuberay",): None})


def test_groups_are_as_specified(tmp_path: Path) -> None:
    groups = groups_of(documents(tmp_path, {("kuberay", "node_selectors", "a100"): {"gpu": "a100"}}))
    assert list(groups) == ["cpu", "l4", "a100", "h100"]
    for specified in committed().groups:
        group = groups[specified.name]
        assert (group["minReplicas"], group["maxReplicas"]) == (specified.min_nodes, specified.max_nodes)
        assert group["labels"] == specified.node_labels
        (container,) = group["template"]["spec"]["containers"]
        limits, asked = container["resources"]["limits"], container["resources"]["requests"]
        assert limits == asked
        assert (limits["cpu"], limits.get("nvidia.com/gpu", 0)) == (specified.cpus, specified.gpus)
        promised = int(group["rayStartParams"]["memory"]) + int(group["rayStartParams"]["object-store-memory"])
        assert promised == specified.memory < gibibytes(limits["memory"]) * 2**30
    assert groups["h100"]["idleTimeoutSeconds"] == 1800
    assert groups["l4"]["idleTimeoutSeconds"] == 600


def gibibytes(quantity: str) -> int:
    assert quantity.endswith("Gi")
    return int(quantity.removesuffix("Gi"))


def test_a_group_that_is_not_named_has_no_pods(tmp_path: Path) -> None:
    files = documents(tmp_path, {("kuberay", "node_selectors", "l4"): None})
    assert list(groups_of(files)) == ["cpu", "h100"]
    known = {
        place: {node.group for node in coming_nodes(files[f"{place}/node-groups.yaml"][0]["data"]["groups"], [])}
        for place in ("base", "overlays/gpu")
    }
    assert known == {"base": {"cpu"}, "overlays/gpu": {"cpu", "h100"}}


def test_no_replica_runs_on_the_head(tmp_path: Path) -> None:
    cluster = cluster_of(documents(tmp_path, {}))
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize(
    ("markets", "kind", "operator"),
    [
        (["on-demand"], "requiredDuringSchedulingIgnoredDuringExecution", "NotIn"),
        (["spot"], "requiredDuringSchedulingIgnoredDuringExecution", "In"),
        (["spot", "on-demand"], "preferredDuringSchedulingIgnoredDuringExecution", "In"),
        (["on-demand", "spot"], "preferredDuringSchedulingIgnoredDuringExecution", "NotIn"),
    ],
)
def test_the_market_decides_which_nodes_are_wanted(
    tmp_path: Path, markets: list[str], kind: str, operator: str
) -> None:
    changes: Changes = {("groups", 1, "markets"): markets, ("kuberay", "spot"): SPOT}
    pod = groups_of(documents(tmp_path, changes))["l4"]["template"]["spec"]
    affinity = pod["affinity"]["nodeAffinity"]
    terms = affinity[kind]["nodeSelectorTerms"] if kind.startswith("req") else [affinity[kind][0]["preference"]]
    assert list(affinity) == [kind]
    (key, value), *_ = SPOT.items()
    assert terms == [{"matchExpressions": [{"key": key, "operator": operator, "values": [value]}]}]
    tolerated = {each["key"]: each.get("value") for each in pod["tolerations"]}
    assert tolerated == {"nvidia.com/gpu": None, **(SPOT if "spot" in markets else {})}


def test_without_spot_nodes_all_are_alike(tmp_path: Path) -> None:
    markets: Changes = {("groups", index, "markets"): ["on-demand"] for index in (1, 2, 3)}
    files = documents(tmp_path, {**markets, ("kuberay", "spot"): None})
    assert all("affinity" not in pod for pod in pods_of(files))


def test_spot_nodes_have_to_be_known() -> None:
    assert problems_with({("kuberay", "spot"): None}) == [
        "kuberay.spot: l4 may have spot nodes: say by which labels they are known there"
    ]


@pytest.mark.parametrize(("min_nodes", "available"), [(0, None), (1, None), (2, 1), (3, 2)])
def test_one_pod_at_a_time_may_be_evicted(tmp_path: Path, min_nodes: int, available: int | None) -> None:
    found = documents(tmp_path, {("groups", 0, "min_nodes"): min_nodes})["base/disruption.yaml"]
    assert [each["spec"]["minAvailable"] for each in found] == ([] if available is None else [available])


def test_a_pod_has_the_time_to_hand_its_replicas_on(tmp_path: Path) -> None:
    files = documents(tmp_path, {("kuberay", "drain_seconds"): 45})
    _, *workers = pods_of(files)
    for pod in workers:
        *_, command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert "--deadline-remaining-seconds 45 && sleep 45" in command
        assert pod["terminationGracePeriodSeconds"] > 45
        assert not pod["automountServiceAccountToken"]


def test_the_environment(tmp_path: Path) -> None:
    files = documents(tmp_path, {("environment",): {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}})
    for pod in pods_of(files):
        entries = pod["containers"][0]["env"]
        values = {each["name"]: each.get("value") for each in entries}
        assert len(values) == len(entries)
        wanted = {**SERVE_DEFAULTS, "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
        assert {name: values[name] for name in wanted} == wanted
        assert values.keys() - wanted == {GROUPS_VARIABLE, "STOWAGE_STATE"}


def test_what_kuberay_s_operator_asks_beyond_its_schema(tmp_path: Path) -> None:
    """The checks of ``ValidateRayServiceSpec`` (KubeRay 1.7) that this could fail."""
    files = documents(tmp_path, {})
    (service,), cluster = files["base/rayservice.yaml"], cluster_of(files)
    assert len(service["metadata"]["name"]) <= 47
    assert cluster["rayVersion"] >= "2.52.0"
    assert all("restartPolicy" not in pod for pod in pods_of(files))
    for group in (cluster["headGroupSpec"], *groups_of(files).values()):
        assert group["rayStartParams"].keys().isdisjoint({"labels", "redis-password", "redis-username"})
        assert "resources" not in group
    reserved = {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", "RAY_enable_autoscaler_v2"}
    assert reserved.isdisjoint(each["name"] for pod in pods_of(files) for each in pod["containers"][0]["env"])
    assert service["spec"]["upgradeStrategy"]["type"] == "NewCluster"
    ports = [each["name"] for each in next(pods_of(files))["containers"][0]["ports"]]
    assert {"serve", "serve-grpc", "dashboard", "gcs-server"} <= set(ports)
