"""Real graphs through ONNX Runtime: what fits runs, and what does not is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.engines.base import EngineSettings, TensorEngine
from models.engines.onnx import OnnxEngine
from models.engines.onnx_session import graph_facts
from models.errors import ConfigError, EngineError, InvalidRequestError
from models.manifest import TensorFacts
from models.types import InferRequest, Task, Tensor, TensorSpec, WeightFormat
from tests.unit.models.engines import models_for_tests as tiny

SETTINGS = EngineSettings(max_model_len=16)
ONES = np.ones((2, 3), dtype=np.float32)
LEFT, RIGHT = Tensor("left", "FP32", ONES), Tensor("right", "FP32", 2 * ONES)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[Callable[[Path], Path]], OnnxEngine]:
    def load_graph(write: Callable[[Path], Path]) -> OnnxEngine:
        write(tmp_path / "model.onnx")
        return OnnxEngine(tmp_path, tiny.manifest_of(tmp_path, WeightFormat.ONNX, Task.INFER), SETTINGS)

    return load_graph


@pytest.fixture
def arithmetic(load: Callable[[Callable[[Path], Path]], OnnxEngine]) -> Iterator[OnnxEngine]:
    engine = load(tiny.arithmetic)
    yield engine
    engine.close()


def int64(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def test_metadata_is_the_graphs(arithmetic: OnnxEngine) -> None:
    assert isinstance(arithmetic, TensorEngine)
    assert arithmetic.inputs == (TensorSpec("left", "FP32", (-1, 3)), TensorSpec("right", "FP32", (-1, 3)))
    assert arithmetic.outputs == (TensorSpec("sum", "FP32", (-1, 3)), TensorSpec("product", "FP32", (-1, 3)))


def test_all_outputs_come_when_none_is_named(arithmetic: OnnxEngine) -> None:
    total, product = arithmetic.infer(InferRequest((RIGHT, LEFT)))
    assert (total.name, product.name) == ("sum", "product")
    np.testing.assert_array_equal(total.data, 3 * ONES)
    np.testing.assert_array_equal(product.data, 2 * ONES)


def test_named_outputs_come_alone_and_in_order(arithmetic: OnnxEngine) -> None:
    outputs = arithmetic.infer(InferRequest((LEFT, RIGHT), outputs=("product", "sum")))
    assert [(each.name, each.datatype) for each in outputs] == [("product", "FP32"), ("sum", "FP32")]


@pytest.mark.parametrize(
    ("request_", "param", "message"),
    [
        (InferRequest((LEFT,)), "right", r"missing.*tiny@1 takes FP32 \[-1, 3\]"),
        (InferRequest((LEFT, RIGHT, LEFT)), "left", "twice"),
        (
            InferRequest((LEFT, RIGHT, Tensor("up", "FP32", ONES))),
            "up",
            "tiny@1 has no input 'up'.*'left', 'right'",
        ),
        (
            InferRequest((LEFT, Tensor("right", "FP64", ONES))),
            "right",
            r"datatype FP64.*tiny@1 takes FP32 \[-1, 3\]",
        ),
        (InferRequest((LEFT, Tensor("right", "FP32", ONES[0]))), "right", r"shape \[3\].*tiny@1 takes FP32"),
        (InferRequest((LEFT, Tensor("right", "FP32", ONES[:, :2]))), "right", r"shape \[2, 2\]"),
        (InferRequest((LEFT, Tensor("right", "FP32", ONES[:1]))), "right", "'n' is 1.*make it 2, as in 'left'"),
        (InferRequest((LEFT, RIGHT), outputs=("quotient",)), "quotient", "tiny@1 has no output.*'sum', 'product'"),
    ],
)
def test_what_does_not_fit_is_named(
    arithmetic: OnnxEngine, request_: InferRequest, param: str, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message) as refused:
        arithmetic.infer(request_)
    assert refused.value.param == param


def test_data_that_is_not_of_its_datatype_is_refused(arithmetic: OnnxEngine) -> None:
    with pytest.raises(InvalidRequestError, match="double"):
        arithmetic.infer(InferRequest((LEFT, Tensor("right", "FP32", ONES.astype(np.float64)))))


def test_values_that_the_graph_refuses_are_the_callers_fault(
    load: Callable[[Callable[[Path], Path]], OnnxEngine],
) -> None:
    engine = load(tiny.lookup)
    rows = engine.infer(InferRequest((Tensor("index", "INT64", int64([2, 0])),)))[0].data
    np.testing.assert_array_equal(rows, np.eye(4)[[2, 0]])
    with pytest.raises(InvalidRequestError, match="out of data bounds"):
        engine.infer(InferRequest((Tensor("index", "INT64", int64([4])),)))


def test_bytes_are_utf8_text_both_ways(load: Callable[[Callable[[Path], Path]], OnnxEngine]) -> None:
    words = np.array(["naïve 你好".encode(), b""], dtype=np.object_)
    (said,) = load(tiny.echo).infer(InferRequest((Tensor("say", "BYTES", words),)))
    assert said.datatype == "BYTES"
    assert said.data.tolist() == words.tolist()


def test_bytes_that_are_no_text_are_refused(load: Callable[[Callable[[Path], Path]], OnnxEngine]) -> None:
    words = np.array([b"\xff\xfe"], dtype=np.object_)
    with pytest.raises(InvalidRequestError, match="not UTF-8") as refused:
        load(tiny.echo).infer(InferRequest((Tensor("say", "BYTES", words),)))
    assert refused.value.param == "say"


def test_a_closed_engine_says_so(arithmetic: OnnxEngine) -> None:
    arithmetic.check()
    arithmetic.close()
    arithmetic.close()
    with pytest.raises(EngineError, match="closed"):
        arithmetic.check()
    with pytest.raises(EngineError, match="closed"):
        arithmetic.infer(InferRequest((LEFT, RIGHT)))


SQUARE = Tensor("square", "FP32", np.ones((1024, 1024), dtype=np.float32))  # 4 MiB
SMALL_SQUARE = Tensor("square", "FP32", np.ones((256, 256), dtype=np.float32))


def cubes(tmp_path: Path, cap_bytes: int | None) -> OnnxEngine:
    """``cubed`` needs the square of a matrix on the way, so twice the matrix at once."""
    tiny.cubed(tmp_path / "model.onnx")
    manifest = tiny.manifest_of(tmp_path, WeightFormat.ONNX, Task.INFER)
    return OnnxEngine(tmp_path, manifest, EngineSettings(max_model_len=16, device_cap_bytes=cap_bytes))


def test_what_exceeds_the_cap_is_refused_and_the_engine_goes_on(tmp_path: Path) -> None:
    engine = cubes(tmp_path, 3 * 1024**2)
    for _ in range(2):
        with pytest.raises(
            InvalidRequestError, match=r"than the 3145728 bytes .*: 4194304 bytes were ref"
        ) as refused:
            engine.infer(InferRequest((SQUARE,)))
        assert refused.value.param == "inputs"
        (small,) = engine.infer(InferRequest((SMALL_SQUARE,)))
        np.testing.assert_array_equal(small.data, 256**2)
    engine.check()


@pytest.mark.parametrize("cap_bytes", [None, 16 * 1024**2])
def test_what_the_cap_holds_is_computed_again_and_again(tmp_path: Path, cap_bytes: int | None) -> None:
    engine = cubes(tmp_path, cap_bytes)
    for square in (SMALL_SQUARE, SQUARE, SMALL_SQUARE, SQUARE):
        (cubed,) = engine.infer(InferRequest((square,)))
        assert cubed.data[0, 0] == len(square.data) ** 2


def test_each_engine_of_a_process_has_its_own_cap(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("wide", "narrow")]
    for folder in folders:
        folder.mkdir()
    wide, narrow = (cubes(folder, mib * 1024**2) for folder, mib in zip(folders, (12, 3), strict=True))
    assert wide.infer(InferRequest((SQUARE,)))[0].data[0, 0] == 1024**2
    with pytest.raises(InvalidRequestError, match="were refused"):
        narrow.infer(InferRequest((SQUARE,)))


def test_a_cap_below_the_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.onnx has \d+ bytes, but its budget leaves 10"):
        cubes(tmp_path, 10)


def test_a_second_graph_is_refused(tmp_path: Path) -> None:
    tiny.arithmetic(tmp_path / "a.onnx")
    tiny.echo(tmp_path / "b.onnx")
    with pytest.raises(ConfigError, match=r"2 ONNX graphs: a\.onnx, b\.onnx"):
        OnnxEngine(tmp_path, tiny.manifest_of(tmp_path, WeightFormat.ONNX, Task.INFER), SETTINGS)


def test_another_device_is_refused(tmp_path: Path) -> None:
    tiny.arithmetic(tmp_path / "model.onnx")
    manifest = tiny.manifest_of(tmp_path, WeightFormat.ONNX, Task.INFER)
    with pytest.raises(ConfigError, match="no device 'cuda'"):
        OnnxEngine(tmp_path, manifest, EngineSettings(max_model_len=16, device="cuda"))


def test_graph_facts(tmp_path: Path) -> None:
    inputs, outputs = graph_facts(tiny.lookup(tmp_path / "model.onnx"))
    assert inputs == (TensorFacts(name="index", datatype="INT64", shape=(-1,)),)
    assert outputs == (TensorFacts(name="row", datatype="FP32", shape=(-1, 4)),)


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_a_broken_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.onnx is not a graph"):
        graph_facts(path)
