from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models.errors import SourceError
from models.safetensors_file import StoredTensor, data_offsets, read_header


def test_a_header_gives_names_types_shapes_and_sizes(tmp_path: Path) -> None:
    save_file({"a": np.ones((2, 3), np.float16), "b": np.ones((), np.int64)}, tmp_path / "m.safetensors")
    tensors = {tensor.name: tensor for tensor in read_header(tmp_path / "m.safetensors")}
    assert tensors["a"] == StoredTensor("a", "float16", (2, 3))
    assert (tensors["a"].num_elements, tensors["a"].num_bytes) == (6, 12)
    assert (tensors["b"].num_elements, tensors["b"].num_bytes) == (1, 8)


def test_the_data_is_where_the_offsets_say(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {f"t{i}": np.full((i + 1,), i, np.float32) for i in range(20)}
    save_file(tensors, path, metadata={"format": "pt"})
    offsets = data_offsets(path)
    assert offsets.keys() == load_file(path).keys()
    for name, tensor in tensors.items():
        assert np.fromfile(path, np.float32, tensor.size, offset=offsets[name]).tolist() == tensor.tolist()


def test_a_type_that_torch_cannot_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"t": np.ones((4,), np.uint8)}, path)
    path.write_bytes(path.read_bytes().replace(b'"dtype":"U8"', b'"dtype":"F4"').replace(b"[4]", b"[8]"))
    with pytest.raises(SourceError, match=r"m\.safetensors holds a tensor of type F4"):
        read_header(path)
