from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SourceError
from models.importing.onnx_graph import initializers
from tests.unit.models.tiny_models import onnx_model, onnx_tensor

BITS = {1: ("float32", 32), 3: ("int8", 8), 7: ("int64", 64), 10: ("float16", 16), 22: ("int4", 4)}
shapes = st.lists(st.integers(1, 200), max_size=3).map(tuple)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graph") / "m.onnx"


@given(st.lists(st.tuples(st.sampled_from(sorted(BITS)), shapes), max_size=5))
def test_sizes_are_those_that_were_written(path: Path, tensors: list[tuple[int, tuple[int, ...]]]) -> None:
    path.write_bytes(onnx_model([onnx_tensor("t", kind, dims, b"") for kind, dims in tensors], (4,)))
    expected = []
    for kind, dims in tensors:
        name, bits = BITS[kind]
        elements = 1
        for size in dims:
            elements *= size
        expected.append((name, elements, -(-elements * bits // 8)))
    assert initializers(path) == expected


def test_packed_dimensions_and_unknown_fields(path: Path) -> None:
    packed_dims = bytes([0x0A, 3, 2, 0x80 | 44, 2])  # field 1, length 3: 2 and 300
    fixed = bytes([0x6D, 1, 2, 3, 4, 0x71, *range(8)])  # 32-bit field 13, 64-bit field 14
    tensor = packed_dims + fixed + bytes([0x10, 1])  # field 2, data type 1
    initializer = bytes([0x2A, len(tensor), *tensor])  # field 5 of the graph, which is field 7
    path.write_bytes(bytes([0x3A, len(initializer), *initializer]))
    assert initializers(path) == [("float32", 600, 2400)]


@pytest.mark.parametrize("content", [b"not a graph", b"\x3a\x05\x2a", b"\x3a\xff\xff\xff\xff\x0f", b"\xff" * 20])
def test_other_bytes_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"m\.onnx is not an ONNX graph"):
        initializers(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with suppress(SourceError):
        assert all(num_bytes >= 0 for _, _, num_bytes in initializers(path))


def test_a_type_without_a_size_is_refused(path: Path) -> None:
    path.write_bytes(onnx_model([onnx_tensor("t", 8, (3,), b"")], (4,)))
    with pytest.raises(SourceError, match="data type 8"):
        initializers(path)
