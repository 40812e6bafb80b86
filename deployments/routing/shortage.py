"""Why a replica finds no node: what it needs against the most that one node has free, in bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.hardware import Device
from models.memory.plan import format_bytes

_GPU = "GPU"
_MEMORY = "memory"
_CPU = "CPU"
# Ray counts in units of 0.0001; sums of them are floats.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Need:
    """What one replica asks of Ray: resources (memory in bytes), of a node to whose labels one of ``selectors``
    applies, of any if there are none. ``planned_bytes`` are those of its plan."""

    resources: Mapping[str, float]
    selectors: tuple[Mapping[str, str], ...] = ()
    planned_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FreeNode:
    """What one node has free now, by Ray's names (memory in bytes). ``gpu`` is the kind of its GPUs, None where it
    has none or their memory is not known."""

    resources: Mapping[str, float]
    gpu: Device | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def has(self, resource: str, amount: float) -> bool:
        return self.resources.get(resource, 0.0) >= amount - _TOLERANCE

    def holds(self, need: Need) -> bool:
        """By Ray's account, which has one sum for all GPUs of a node."""
        return all(self.has(resource, amount) for resource, amount in need.resources.items())

    def without(self, need: Need) -> FreeNode:
        """What it has left once it has given what is needed."""
        left = {name: free - need.resources.get(name, 0.0) for name, free in self.resources.items()}
        return replace(self, resources=left)


def suitable(need: Need, nodes: Sequence[FreeNode]) -> list[FreeNode]:
    """The nodes that the replica may be placed on, whatever they have free."""
    if not need.selectors:
        return list(nodes)
    return [node for node in nodes if any(_applies(selector, node.labels) for selector in need.selectors)]


def is_lacking(need: Need, nodes: Sequence[FreeNode]) -> bool:
    """Whether no node has all of it free."""
    return not any(node.holds(need) for node in suitable(need, nodes))


def explain(need: Need, nodes: Sequence[FreeNode] | None) -> str:
    """What a replica needs and cannot get. ``nodes`` None: what is free is not known."""
    if nodes is None:
        return f"it needs {_listed(_needed(name, need, ()) for name in _names(need))}"
    able = suitable(need, nodes)
    if not able:
        return f"no node has the labels that it asks for: {' or '.join(map(_written, need.selectors))}"
    missing = [name for name in _names(need) if not any(node.has(name, need.resources[name]) for node in able)]
    needs = _listed(_needed(name, need, able) for name in missing or _names(need))
    if missing:
        largest = _listed(_free(name, able) for name in missing)
        return f"it needs {needs}; the largest free on one node is {largest}"
    if is_lacking(need, nodes):
        return f"it needs {needs}; no node has all of that free at once"
    return f"it needs {needs}; a node has that free in sum, but Ray places it nowhere: is it free on one GPU?"


def _names(need: Need) -> list[str]:
    return sorted(name for name, amount in need.resources.items() if amount)


def _needed(resource: str, need: Need, nodes: Sequence[FreeNode]) -> str:
    """Of a GPU its fraction of those that there are, else the plan's bytes, else the fraction."""
    amount = need.resources[resource]
    if resource != _GPU:
        return _amount(resource, amount)
    of_gpu = max((node.gpu.usable_bytes for node in nodes if node.gpu), default=None)
    if of_gpu is not None:
        return _gpu_memory(amount * of_gpu)
    return _gpu_memory(need.planned_bytes) if need.planned_bytes else _amount(resource, amount)


def _free(resource: str, nodes: Sequence[FreeNode]) -> str:
    """The most that one node has; of GPU memory, where it is known, the most that one of its GPUs can have."""
    most = max(node.resources.get(resource, 0.0) for node in nodes)
    if resource == _GPU and (not most or any(node.gpu for node in nodes)):
        return _gpu_memory(max(_largest_gpu_bytes(node) for node in nodes))
    return _amount(resource, most)


def _largest_gpu_bytes(node: FreeNode) -> float:
    return min(1.0, node.resources.get(_GPU, 0.0)) * node.gpu.usable_bytes if node.gpu else 0.0


def _gpu_memory(num_bytes: float) -> str:
    return f"{format_bytes(round(num_bytes))} of GPU memory"


def _amount(resource: str, value: float) -> str:
    if resource == _MEMORY:
        return f"{format_bytes(round(value))} of memory"
    if resource in (_CPU, _GPU):
        return f"{value:g} {resource}{'' if value == 1 else 's'}"
    return f"{value:g} of {resource}"


def _listed(texts: Iterable[str]) -> str:
    return " and ".join(texts)


def _applies(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(_accepts(expression, labels.get(label)) for label, expression in selector.items())


def _accepts(expression: str, value: str | None) -> bool:
    """``a``, ``in(a,b)``, ``!a`` or ``!in(a,b)``, as Ray's documentation of label selectors has them."""
    wanted = expression.removeprefix("!")
    values = wanted[len("in(") : -1].split(",") if wanted.startswith("in(") else [wanted]
    return (value in [each.strip() for each in values]) != expression.startswith("!")


def _written(selector: Mapping[str, str]) -> str:
    return ", ".join(f"{label}: {expression}" for label, expression in sorted(selector.items()))
