"""The committed manifests as kubectl builds them."""

from __future__ import annotations

import copy
import functools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cluster.kuberay.strict import Document
from tests.unit.source_tree import ROOT

KUBERAY = ROOT / "cluster" / "kuberay"
OVERLAYS = ("overlays/cpu-demo", "overlays/gpu")
FOLDERS = ("base", *OVERLAYS)
# The first kustomize of which all is used that the overlays need comes with kubectl 1.27.
_KUSTOMIZE = 5


@functools.cache
def built(folder: str) -> str:
    """The manifests of a folder of ``cluster/kuberay``; skips where there is no kubectl that can build them."""
    kubectl = _kubectl()
    return subprocess.run(
        [kubectl, "kustomize", KUBERAY / folder], check=True, capture_output=True, text=True
    ).stdout


def documents(folder: str) -> list[dict[str, Any]]:
    """Copies of the objects that a folder builds."""
    return list(yaml.safe_load_all(built(folder)))


def one(folder: str, kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = (
        each
        for each in documents(folder)
        if each["kind"] == kind and (name is None or each["metadata"]["name"] == name)
    )
    return found


def groups(folder: str) -> dict[str, dict[str, Any]]:
    """The head's group and those of workers, by name."""
    cluster = one(folder, "RayService")["spec"]["rayClusterConfig"]
    return {"head": cluster["headGroupSpec"], **{each["groupName"]: each for each in cluster["workerGroupSpecs"]}}


def containers(folder: str) -> Iterator[dict[str, Any]]:
    """The containers of Ray, of the head first."""
    for group in groups(folder).values():
        yield from group["template"]["spec"]["containers"]


def serve_config(folder: str) -> str:
    text: str = one(folder, "RayService")["spec"]["serveConfigV2"]
    return text


def written(folder: Path, text: str) -> Path:
    path = folder / "manifests.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(document: Document, change: Callable[[Any], object]) -> Document:
    copied = copy.deepcopy(document)
    change(copied)
    return copied


@functools.cache
def _kubectl() -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip(
            "kubectl is not here, and Debian's is too old to build the overlays: install kubectl 1.27 or newer"
        )
    said = subprocess.run(
        [kubectl, "version", "--client", "--output=json"], check=True, capture_output=True, text=True
    )
    version = json.loads(said.stdout).get("kustomizeVersion", "v0")
    if int(version.removeprefix("v").split(".")[0]) < _KUSTOMIZE:
        pytest.skip(
            f"kubectl here has kustomize {version}, which cannot build the overlays: install 1.27 or newer"
        )
    return kubectl
