"""ONNX Runtime behind a small typed surface. The only file that imports onnxruntime."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from models.errors import ConfigError, EngineError, InvalidRequestError
from models.manifest import TensorFacts
from models.types import TensorSpec

# Open Inference Protocol names. bfloat16 is absent: ONNX Runtime cannot exchange it with numpy.
_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_CANNOT_RUN = (ort_errors.EPFail, ort_errors.Fail, ort_errors.NotImplemented, ort_errors.RuntimeException)
_CANNOT_LOAD = (
    *_CANNOT_RUN,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
)
_ARENA_FULL = re.compile(r"Available memory of \d+ is smaller than requested bytes of (\d+)")
_SAME_AS_REQUESTED = 1


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or output of the graph. A dimension is a size, a name (equal names are equal sizes), or None."""

    name: str
    datatype: str
    dimensions: tuple[int | str | None, ...]

    @property
    def spec(self) -> TensorSpec:
        shape = tuple(size if isinstance(size, int) else -1 for size in self.dimensions)
        return TensorSpec(self.name, self.datatype, shape)


class OnnxSession:
    """One loaded graph on the CPU. ``run`` may be called from several threads at once.

    ``cap_bytes`` bounds weights and activations together: an arena refuses what would exceed it. The arena gives
    back what it does not use after each run; without a cap there is none, so that nothing is kept either.
    Spinning is off, because idle threads of one replica would take the cores of its neighbours.
    Weights in external data files are memory-mapped; those inside the graph are copied by each process.
    ``optimize=False`` is for reading a graph without computing with it.
    """

    # Sessions take the arena that was registered last, and there is one registry in a process.
    _registering = threading.Lock()

    def __init__(
        self, path: Path, *, num_threads: int, cap_bytes: int | None = None, optimize: bool = True
    ) -> None:
        self._cap_bytes = cap_bytes
        options = _session_options(num_threads, optimize)
        try:
            with self._registering:
                if cap_bytes is not None:
                    _use_arena(options, path, cap_bytes)
                self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _CANNOT_LOAD as error:
            raise ConfigError(
                f"{path.name} is not a graph that ONNX Runtime {ort.__version__} can load: {error}",
                remedy="export the model again, or check that its external data files lie beside it",
            ) from error
        self.inputs = tuple(_graph_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_graph_tensor(node) for node in self._session.get_outputs())

    def run(
        self, feeds: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]
    ) -> list[npt.NDArray[np.generic]]:
        """The named outputs, in order. Strings go in and come out as ``str`` in object arrays.

        InvalidRequestError for values that the graph refuses and for those that need more memory than the cap
        leaves, EngineError when it fails on good ones.
        """
        try:
            results: list[npt.NDArray[np.generic]] = self._session.run(
                list(outputs), dict(feeds), self._run_options()
            )
        except ort_errors.InvalidArgument as error:
            raise InvalidRequestError(f"the graph refused these tensors: {error}", param="inputs") from error
        except _CANNOT_RUN as error:
            raise self._failure(error) from error
        return results

    def _run_options(self) -> ort.RunOptions | None:
        if self._cap_bytes is None:
            return None
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options

    def _failure(self, error: Exception) -> InvalidRequestError | EngineError:
        if match := _ARENA_FULL.search(str(error)):
            return InvalidRequestError(
                f"these inputs need more memory than the {self._cap_bytes} bytes that the model's budget leaves "
                f"for its graph: {match[1]} bytes were refused",
                remedy="send fewer or smaller inputs at once, or give the model more memory",
                param="inputs",
            )
        return EngineError(f"ONNX Runtime failed: {error}")


def graph_facts(path: Path) -> tuple[tuple[TensorFacts, ...], tuple[TensorFacts, ...]]:
    """The inputs and outputs of the graph in ``path``; ConfigError when ONNX Runtime cannot load it."""
    session = OnnxSession(path, num_threads=1, optimize=False)
    return _facts(session.inputs), _facts(session.outputs)


def _facts(tensors: tuple[GraphTensor, ...]) -> tuple[TensorFacts, ...]:
    specs = (each.spec for each in tensors)
    return tuple(TensorFacts(name=spec.name, datatype=spec.datatype, shape=spec.shape) for spec in specs)


def _graph_tensor(node: ort.NodeArg) -> GraphTensor:
    if node.type not in _DATATYPES:
        raise ConfigError(
            f"tensor {node.name!r} of the graph has type {node.type!r}, which cannot be served",
            remedy=f"export the model with one of {', '.join(_DATATYPES)}",
        )
    return GraphTensor(node.name, _DATATYPES[node.type], tuple(node.shape))


def _session_options(num_threads: int, optimize: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def _use_arena(options: ort.SessionOptions, path: Path, cap_bytes: int) -> None:
    """Give the next session an arena of its own with a limit.

    ConfigError when the weights alone exceed it: ONNX Runtime takes them unchecked, and a limit that is exceeded
    already refuses nothing.
    """
    if path.stat().st_size > cap_bytes:
        raise ConfigError(
            f"{path.name} has {path.stat().st_size} bytes, but its budget leaves {cap_bytes}",
            remedy="give the model more memory",
        )
    arena = ort.OrtArenaCfg({"max_mem": cap_bytes, "arena_extend_strategy": _SAME_AS_REQUESTED})
    info = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(info, arena)
    options.add_session_config_entry("session.use_env_allocators", "1")
