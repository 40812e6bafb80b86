from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.nodes.kuberay_nodes import kuberay_groups, parse_quantity
from cluster.nodes.node_files import read_nodes_file
from cluster.nodes.node_groups import expand
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Node

GIB = 1024**3
MANIFEST = Path(__file__).parent / "data" / "kuberay.yaml"


def pod(limits: str = "{cpu: 2, memory: 8Gi}", selector: str = "{}") -> str:
    return f"template: {{spec: {{nodeSelector: {selector}, containers: [{{resources: {{limits: {limits}}}}}]}}}}"


def cluster(worker: str, autoscaling: str = "false") -> tuple[Node, ...]:
    text = (
        f"kind: RayCluster\nspec: {{enableInTreeAutoscaling: {autoscaling}, headGroupSpec: {{{pod()}}}, "
        f"workerGroupSpecs: [{{groupName: w, {worker}}}]}}"
    )
    return expand(kuberay_groups("c.yaml", yaml.safe_load(text)))


def test_a_ray_service() -> None:
    first, second, head, t4, other = read_nodes_file(MANIFEST)
    assert (head.name, head.num_cpus, head.memory_bytes, head.gpu) == ("headgroup-0", 0, 8 * GIB, None)
    assert (t4.name, other.name, t4.group) == ("t4-0", "t4-1", "t4")
    assert (t4.num_cpus, t4.memory_bytes) == (4, 24_000_000_000)
    assert (t4.gpu, t4.num_devices) == (device_named("t4-16gb"), 1)
    assert (first.name, second.name) == ("a100-0", "a100-1")
    assert (first.num_cpus, first.memory_bytes) == (90, 400_000_000_000)
    assert (first.gpu, first.num_devices) == (device_named("a100-80gb"), 8)


def test_without_autoscaling_replicas_count() -> None:
    assert len(cluster(f"replicas: 3, maxReplicas: 9, {pod()}")) == 1 + 3
    assert len(cluster(f"replicas: 3, maxReplicas: 9, {pod()}", autoscaling="true")) == 1 + 9


@pytest.mark.parametrize(
    ("selector", "device"),
    [
        ("{cloud.google.com/gke-accelerator: nvidia-h100-mega-80gb}", "h100-80gb"),
        ("{nvidia.com/gpu.product: NVIDIA-A100-SXM4-40GB}", "a100-40gb"),
        ("{nvidia.com/gpu.product: Tesla-T4-SHARED}", "t4-16gb"),
        ("{node.kubernetes.io/instance-type: g6e.xlarge}", "l40s-48gb"),
    ],
)
def test_the_selector_of_the_pod_says_the_gpu(selector: str, device: str) -> None:
    _, worker = cluster(f"replicas: 1, {pod('{cpu: 2, memory: 8Gi, nvidia.com/gpu: 1}', selector)}")
    assert (worker.gpu, worker.num_devices) == (device_named(device), 1)


def test_what_the_group_says_goes_before_its_pod() -> None:
    _, worker = cluster(
        "replicas: 1, resources: {CPU: 7, memory: 5Gi, GPU: 2}, labels: {stowage.io/device: l4-24gb}, "
        + pod("{cpu: 2, memory: 8Gi, nvidia.com/gpu: 1}", "{cloud.google.com/gke-accelerator: nvidia-tesla-t4}")
    )
    assert (worker.num_cpus, worker.memory_bytes) == (7, 5 * GIB)
    assert (worker.gpu, worker.num_devices) == (device_named("l4-24gb"), 2)


@pytest.mark.parametrize(
    ("worker", "says"),
    [
        (f"replicas: 1, {pod('{cpu: 2}')}", r"c.yaml: group w: .*memory.*resources.limits"),
        (f"replicas: 1, {pod('{cpu: two, memory: 8Gi}')}", r"c.yaml: group w: 'two' is not a Kubernetes quantity"),
        (f"maxReplicas: 1, {pod()}", r"c.yaml: group w has no replicas"),
        (
            f"replicas: 1, {pod('{cpu: 2, memory: 8Gi, nvidia.com/gpu: 1}')}",
            r"node c.yaml: group w is not known: .*label stowage.io/device",
        ),
        (
            "replicas: 1, template: {spec: {containers: []}}",
            r"c.yaml: RayCluster.spec: workerGroupSpecs\[0\].template.spec.containers: .*not \[\]",
        ),
        ("replicas: 1", r"workerGroupSpecs\[0\].template: Field required"),
    ],
)
def test_a_mistake_names_file_place_and_remedy(worker: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        cluster(worker)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("0.1", "0.1"),
        ("1e3", "1000"),
        ("1k", "1000"),
        ("3M", "3e6"),
        ("2Gi", str(2 * GIB)),
    ],
)
def test_quantities_are_those_of_kubernetes(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@given(st.integers(0, 10**15))
def test_a_plain_number_is_itself(number: int) -> None:
    assert parse_quantity(number) == parse_quantity(str(number)) == number
    assert parse_quantity(f"{number}Ki") == 1024 * parse_quantity(number)
    assert parse_quantity(f"{number}m") * 1000 == number


@pytest.mark.parametrize("text", ["", "Gi", "-1", "1 Gi", "1GiB", "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes quantity"):
        parse_quantity(text)
