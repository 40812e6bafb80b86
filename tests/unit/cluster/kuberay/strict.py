"""Strict validation of manifests: every object against the schema of its kind, unknown fields are errors."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.unit.cluster.kuberay.crd_schema import Schema, closed, complaints, crd_schema

CRDS = Path(__file__).parents[4].parent / "shared" / "data" / "kuberay-crds"
# The oldest Kubernetes that docs/kubernetes.md names, and the newest that the validator knows.
KUBERNETES = ("1.31", "1.37")

Document = Mapping[str, Any]


def ray_service_schema() -> Schema:
    """Of KubeRay's own CRD; skips where that is not to be had."""
    path = CRDS / "ray.io_rayservices.yaml"
    if not path.exists():
        pytest.skip(f"{path} is not there: the CRDs of KubeRay come with the checkout's shared data")
    return _crd(path)


@functools.cache
def _crd(path: Path) -> Schema:
    return crd_schema(path, "v1")


@functools.cache
def pod_monitor_schema() -> Schema:
    """The CRD of Prometheus' operator, as the pydantic models that were generated from it say it."""
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor  # noqa: PLC0415 - seconds to import

    return closed(PodMonitor.model_json_schema())


def wrong_in(document: Document) -> list[str]:
    """Everything that is wrong with one object; empty for one that a strict API server takes."""
    match document.get("kind"):
        case "RayService":
            found = [*complaints(ray_service_schema(), document), *_wrong_metadata(document)]
            return found or list(_wrong_pods(document))
        case "PodMonitor":
            return complaints(pod_monitor_schema(), document)
        case _:
            return list(_wrong_core(document))


def _wrong_core(document: Document) -> Iterator[str]:
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(dict(document), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(part) for part in error.absolute_path)
            yield f"{path}: {error.message} (Kubernetes {version})"


def _wrong_metadata(document: Document) -> Iterator[str]:
    return _wrong_core({"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]})


def _wrong_pods(document: Document) -> Iterator[str]:
    """The pods of a Ray cluster against Kubernetes' own schema, which knows more of them than the CRD's copy."""
    cluster = document["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        template = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": group.get("groupName", "head")},
            "template": group["template"],
        }
        yield from _wrong_core(template)
