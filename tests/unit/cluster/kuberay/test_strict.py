"""That the validators refuse what an API server would refuse or drop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cluster.kuberay.crd_schema import closed, complaints
from tests.unit.cluster.kuberay.manifests import changed, documents, one
from tests.unit.cluster.kuberay.strict import pod_monitor_schema, wrong_in


def cluster_of(service: Any) -> Any:
    return service["spec"]["rayClusterConfig"]


def container_of(service: Any) -> Any:
    return cluster_of(service)["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]


RAY_SERVICE: list[tuple[Callable[[Any], object], str]] = [
    (lambda it: it["spec"].update(upgradeStrategi={}), "'upgradeStrategi' was unexpected"),
    (lambda it: it["metadata"].update(lables={}), "'lables' was unexpected"),
    (lambda it: container_of(it)["readinessProbe"]["httpGet"].update(prot=8000), "'prot' was unexpected"),
    (lambda it: container_of(it)["resources"].update(limit={}), "'limit' was unexpected"),
    (lambda it: container_of(it)["securityContext"].update(runAsUser="root"), "'root' is not of type 'integer'"),
    (lambda it: container_of(it).update(ports=[{"containerPort": "8000"}]), "'8000' is not of type 'integer'"),
    (lambda it: container_of(it).pop("name"), "'name' is a required property"),
    (lambda it: cluster_of(it).pop("headGroupSpec"), "'headGroupSpec' is a required property"),
    (lambda it: cluster_of(it)["autoscalerOptions"].update(version="v3"), "'v3' is not one of ['v1', 'v2']"),
    (lambda it: cluster_of(it)["authOptions"].update(mode=None), "None is not one of ['disabled', 'token']"),
    (lambda it: container_of(it)["resources"]["limits"].update(memory="28 gigabytes"), "does not match"),
    (lambda it: cluster_of(it)["workerGroupSpecs"][0].update(maxReplicas=2**31), "greater than the maximum"),
    (lambda it: it.update(apiVersion="ray.io/v2"), "'ray.io/v2' is not one of ['ray.io/v1']"),
    (
        lambda it: container_of(it)["ports"].append({"containerPort": 8000, "name": "again"}),
        "two entries have {'containerPort': 8000, 'protocol': 'TCP'}",
    ),
]


@pytest.mark.parametrize(("change", "says"), RAY_SERVICE)
def test_a_wrong_ray_service_is_refused(change: Callable[[Any], object], says: str) -> None:
    service = one("base", "RayService")
    assert wrong_in(service) == []
    assert says in "\n".join(wrong_in(changed(service, change)))


CORE: list[tuple[str, Callable[[Any], object], str]] = [
    ("StatefulSet", lambda it: it["spec"].update(replica=1), "'replica' was unexpected"),
    ("StatefulSet", lambda it: it["spec"].pop("selector"), "'selector' is a required property"),
    ("PodDisruptionBudget", lambda it: it["spec"].update(minAvailable=[1]), "[1] is not"),
    ("NetworkPolicy", lambda it: it["spec"].update(ingres=[]), "'ingres' was unexpected"),
    (
        "PodMonitor",
        lambda it: it["spec"]["podMetricsEndpoints"][0].update(intervl="5s"),
        "spec.podMetricsEndpoints",
    ),
    ("PodMonitor", lambda it: it["spec"].pop("selector"), "'selector' is a required property"),
    ("PodMonitor", lambda it: it["spec"].update(sampleLimit="many"), "spec.sampleLimit"),
]


@pytest.mark.parametrize(("kind", "change", "says"), CORE)
def test_a_wrong_object_is_refused(kind: str, change: Callable[[Any], object], says: str) -> None:
    found = next(each for each in documents("base") if each["kind"] == kind)
    assert says in "\n".join(wrong_in(changed(found, change)))


def test_an_object_that_lists_no_fields_may_have_none() -> None:
    schema = closed({"type": "object", "properties": {"a": {"type": "object"}, "b": {"additionalProperties": {}}}})
    assert complaints(schema, {"a": {}, "b": {"any": 1}}) == []
    assert complaints(schema, {"a": {"any": 1}}) != []


def test_what_the_server_keeps_unread_stays_open() -> None:
    schema = closed({"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {}}})
    assert complaints(schema, {"any": 1}) == []


def test_integers_or_strings() -> None:
    schema = closed({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]})
    assert [complaints(schema, value) == [] for value in (1, "25%", 1.5, None)] == [True, True, False, False]


def test_the_schema_of_monitors_is_closed_all_the_way() -> None:
    definitions = pod_monitor_schema()["$defs"]
    assert len(definitions) > 20
    assert {
        name for name, each in definitions.items() if "properties" in each and "additionalProperties" not in each
    } == set()
