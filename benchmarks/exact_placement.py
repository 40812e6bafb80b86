"""The fewest GPUs that hold all demands, by mixed-integer linear programming (HiGHS, in SciPy)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_array

from models.hardware import Node
from models.placement.slots import RAY_UNITS, Demand, gpu_units

_INFEASIBLE = 2
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Optimum:
    """``fits`` is None where the time was too short to tell; not ``proven``, ``num_devices`` is a lower bound."""

    fits: bool | None
    num_devices: int
    proven: bool


class _Program:
    """Variables: x[demand, gpu], then y[demand, node], then u[gpu]; all 0 or 1."""

    def __init__(self, demands: Sequence[Demand], nodes: Sequence[Node]) -> None:
        self.demands = demands
        self.num_nodes = len(nodes)
        self.gpus = [node for node, each in enumerate(nodes) for _ in range(each.num_devices)]
        self._kinds = [nodes[node].gpu for node in self.gpus]
        self.num_variables = len(demands) * (len(self.gpus) + self.num_nodes) + len(self.gpus)
        self._rows: list[dict[int, float]] = []
        self._low: list[float] = []
        self._high: list[float] = []

    def x(self, demand: int, gpu: int) -> int:
        return demand * len(self.gpus) + gpu

    def y(self, demand: int, node: int) -> int:
        return len(self.demands) * len(self.gpus) + demand * self.num_nodes + node

    def u(self, gpu: int) -> int:
        return self.num_variables - len(self.gpus) + gpu

    def row(self, entries: dict[int, float], low: float, high: float) -> None:
        """low <= sum of entries <= high."""
        self._rows.append(entries)
        self._low.append(low)
        self._high.append(high)

    def units(self, demand: Demand, gpu: int) -> int:
        kind = self._kinds[gpu]
        return gpu_units(demand.device_bytes, kind) if kind else RAY_UNITS + 1

    def constraints(self) -> LinearConstraint:
        matrix = lil_array((len(self._rows), self.num_variables))
        for index, entries in enumerate(self._rows):
            for variable, factor in entries.items():
                matrix[index, variable] = factor
        return LinearConstraint(matrix.tocsr(), self._low, self._high)


def fewest_devices(
    demands: Sequence[Demand], nodes: Sequence[Node], *, apart: bool, time_limit_s: float = 60
) -> Optimum:
    """Over all placements of all demands; ``apart``: of those with replicas of a model on different nodes only."""
    program = _Program(demands, nodes)
    _place_each_once(program)
    _fill_no_gpu_beyond(program)
    if apart:
        _keep_apart(program)
    objective = np.zeros(program.num_variables)
    objective[program.u(0) :] = 1
    result = milp(
        objective,
        integrality=np.ones(program.num_variables),
        bounds=Bounds(0, 1),
        constraints=program.constraints(),
        options={"time_limit": time_limit_s},
    )
    if result.status == _INFEASIBLE:
        return Optimum(fits=False, num_devices=0, proven=True)
    num_devices = ceil(result.mip_dual_bound - _ROUNDING)
    found = result.x is not None
    return Optimum(found or None, num_devices, proven=found and round(result.fun) == num_devices)


def _place_each_once(program: _Program) -> None:
    """On one node, and there on as many GPUs as there are ranks."""
    for index, demand in enumerate(program.demands):
        program.row({program.y(index, node): 1 for node in range(program.num_nodes)}, 1, 1)
        for node in range(program.num_nodes):
            here = {program.x(index, gpu): 1.0 for gpu, owner in enumerate(program.gpus) if owner == node}
            program.row({**here, program.y(index, node): -demand.num_ranks}, 0, 0)


def _fill_no_gpu_beyond(program: _Program) -> None:
    """GPUs of a node are alike: those in use come first."""
    for gpu, node in enumerate(program.gpus):
        taken = {program.x(i, gpu): float(program.units(d, gpu)) for i, d in enumerate(program.demands)}
        program.row({**taken, program.u(gpu): -RAY_UNITS}, -np.inf, 0)
        if gpu and program.gpus[gpu - 1] == node:
            program.row({program.u(gpu - 1): 1, program.u(gpu): -1}, 0, 1)


def _keep_apart(program: _Program) -> None:
    for model in {demand.model for demand in program.demands}:
        own = [index for index, demand in enumerate(program.demands) if demand.model == model]
        for node in range(program.num_nodes):
            program.row({program.y(index, node): 1 for index in own}, 0, 1)
