"""The rules of the architecture: who may import whom, what stays light, how large things get."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.unit.source_tree import (
    LAYERS,
    ROOT,
    Module,
    find_cycle,
    folders_graph,
    load_graph,
    read_modules,
    siblings_graph,
)

MODULES = read_modules()
GRAPH = load_graph(MODULES)
PACKAGES = sorted(name for name, module in MODULES.items() if module.path.name == "__init__.py")

PROTOCOLS = tuple(
    f"deployments.{name}" for name in ("api.anthropic", "api.oip", "api.openai", "api.rerank", "grpc")
)
SERVING = ("ray", "starlette", "fastapi", "uvicorn")
HEAVY = ("torch", "transformers", "onnxruntime")
PLANNING = [
    f"models.{name}"
    for name in (
        "types",
        "errors",
        "manifest",
        "spec",
        "hardware",
        "devices",
        "nodes",
        "memory.plan",
        "memory.measured",
        "process_memory",
        "memory.calibration",
        "placement.proof",
        "sources",
        "store",
        "importing.importer",
        "importing.preview",
    )
]
BUILDING = ["deployments.args", "deployments.options", "deployments.app", "deployments.model", "cluster.cli"]

# Each is behind one adapter, so that replacing it or leaving it out is a change of one file.
ADAPTED = (
    "grafana_api",
    "grafana_foundation_sdk",
    "huggingface_hub",
    "obstore",
    "onnxruntime",
    "prometheus_client",
    "pynvml",
)


def importers(package: str) -> list[str]:
    return [name for name, module in MODULES.items() if imports_any(module, (package,))]


def imports_any(module: Module, packages: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for name in module.imports() for package in packages)


def inside(package: str) -> Iterator[Module]:
    return (module for name, module in MODULES.items() if f"{name}.".startswith(f"{package}."))


def test_layers_point_one_way() -> None:
    upward = [
        f"{module.name} -> {higher}"
        for module in MODULES.values()
        for higher in LAYERS[LAYERS.index(module.layer) + 1 :]
        if imports_any(module, (higher,))
    ]
    assert upward == []


def test_no_module_imports_itself_through_others() -> None:
    assert find_cycle(GRAPH) == []


def test_a_cycle_through_a_subpackage_is_found() -> None:
    graph = {
        "a.app": {"a.api.http"},
        "a.api.http": {"a.core"},
        "a.core": {"a.api.words"},
        "a.api.words": set[str](),
    }
    frozen = {name: frozenset(targets) for name, targets in graph.items()}
    assert find_cycle(frozen) == []
    assert set(find_cycle(siblings_graph(frozen, "a"))) == {"api", "core"}


def test_no_folder_loads_itself_through_others() -> None:
    assert find_cycle(folders_graph(GRAPH, PACKAGES)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_holds_points_one_way(package: str) -> None:
    assert find_cycle(siblings_graph(GRAPH, package)) == []


def test_models_know_neither_ray_nor_http() -> None:
    assert [module.name for module in inside("models") if imports_any(module, SERVING)] == []


def test_protocols_know_nothing_of_ray() -> None:
    modules = [*inside("deployments.api"), *inside("deployments.grpc")]
    assert [module.name for module in modules if imports_any(module, ("ray",))] == []


def test_protocols_never_import_each_other() -> None:
    crossing = [
        module.name
        for protocol in PROTOCOLS
        for module in inside(protocol)
        if imports_any(module, tuple(other for other in PROTOCOLS if other != protocol))
    ]
    assert crossing == []


@pytest.mark.parametrize("package", ADAPTED)
def test_an_optional_package_has_one_adapter(package: str) -> None:
    assert len(importers(package)) == 1


@pytest.mark.parametrize(
    ("loaded", "unwanted"),
    [
        (PLANNING, (*HEAVY, "ray")),
        (["deployments.api.app", "deployments.grpc.servicer"], (*HEAVY, "ray")),
        (BUILDING, HEAVY),
        (["cluster.cli"], ("grafana_api", "grafana_foundation_sdk", "requests")),
    ],
    ids=["planning", "protocols", "building", "command"],
)
def test_what_only_plans_or_speaks_loads_nothing_heavy(loaded: list[str], unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {', '.join(loaded)}\nprint([name for name in {unwanted} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_files_stay_below_300_lines() -> None:
    assert {name: module.num_lines for name, module in MODULES.items() if module.num_lines > 300} == {}


def test_functions_stay_below_40_lines() -> None:
    lengths = {
        f"{module.name}.{function.name}": (function.end_lineno or function.lineno) - function.lineno + 1
        for module in MODULES.values()
        for function in module.functions()
    }
    assert {name: length for name, length in lengths.items() if length > 40} == {}
