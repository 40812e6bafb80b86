"""The source as a graph of modules, read from the files without importing them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("models", "deployments", "cluster")  # a lower one imports no higher one

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Module:
    """One file: its dotted name and its syntax tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def layer(self) -> str:
        return self.name.partition(".")[0]

    @property
    def num_lines(self) -> int:
        return self.path.read_text().count("\n")

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def imports(self, *, at_load: bool = False) -> frozenset[str]:
        """Dotted names that are imported anywhere in the file, or only while the module is loaded."""
        return frozenset(name for node in _nodes(self.tree, at_load) for name in _imported(node))


def read_modules() -> dict[str, Module]:
    """All modules of the application by dotted name; a package goes by its folder's name."""
    modules = {}
    for path in sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        modules[name] = Module(name, path, ast.parse(path.read_text()))
    return modules


def load_graph(modules: Mapping[str, Module]) -> Graph:
    """Which of our modules each of them loads."""
    return {
        name: frozenset(_owner(target, modules) for target in module.imports(at_load=True)) - {name, ""}
        for name, module in modules.items()
    }


def siblings_graph(graph: Graph, package: str) -> Graph:
    """What is directly inside ``package``, each subpackage as one node, and which loads which."""
    edges: dict[str, set[str]] = {}
    for name, targets in graph.items():
        if node := _child(package, name):
            children = {child for target in targets if (child := _child(package, target))}
            edges.setdefault(node, set()).update(children - {node})
    return {node: frozenset(targets) for node, targets in edges.items()}


def folders_graph(graph: Graph, packages: Collection[str]) -> Graph:
    """Which folder's own modules load which other folder's."""
    edges: dict[str, set[str]] = {}
    for name, targets in graph.items():
        home = _folder(name, packages)
        edges.setdefault(home, set()).update({_folder(target, packages) for target in targets} - {home})
    return {node: frozenset(targets) for node, targets in edges.items()}


def find_cycle(graph: Graph) -> list[str]:
    """The modules of one import cycle; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def _folder(name: str, packages: Collection[str]) -> str:
    return name if name in packages else name.rpartition(".")[0]


def _child(package: str, name: str) -> str | None:
    inside = name.removeprefix(f"{package}.")
    return inside.partition(".")[0] if inside != name else None


def _owner(name: str, modules: Mapping[str, Module]) -> str:
    """The module that an imported name belongs to; empty for what is not ours."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _nodes(tree: ast.Module, at_load: bool) -> Iterator[ast.AST]:
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if not (at_load and _is_not_run_at_load(node)):
            yield node
            stack.extend(ast.iter_child_nodes(node))


def _is_not_run_at_load(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _imported(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []
