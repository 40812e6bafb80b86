from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import modeling_gguf_pytorch_utils as gguf_reader

from models.convert import convert_gguf, convert_pickle
from models.errors import SourceError, UnsafeWeightsError
from tests.unit.models.tiny_models import write_gguf


class Malicious:
    """Runs ``touch`` on a path when it is unpickled in the ordinary way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_tensors_keep_their_values_and_floats_change_type(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    tensors = {"a": shared, "tied": shared, "turned": torch.ones(2, 3).T, "ids": torch.arange(3)}
    torch.save(tensors, tmp_path / "m.bin")
    convert_pickle(tmp_path / "m.bin", tmp_path, "float16")
    converted = load_file(tmp_path / "model.safetensors")
    assert converted.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(converted[name].to(tensor.dtype), tensor)
    assert {name: tensor.dtype for name, tensor in converted.items()} == {
        "a": torch.float16,
        "tied": torch.float16,
        "turned": torch.float16,
        "ids": torch.int64,
    }


def test_a_training_checkpoint_holds_its_tensors_one_level_down(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "m.ckpt")
    convert_pickle(tmp_path / "m.ckpt", tmp_path, "float32")
    assert list(load_file(tmp_path / "model.safetensors")) == ["a"]


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save({"a": Malicious(tmp_path / "ran")}, tmp_path / "m.pt")
    with pytest.raises(UnsafeWeightsError, match=r"m\.pt holds something else than tensors") as caught:
        convert_pickle(tmp_path / "m.pt", tmp_path, "float32")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"junkjunk", b"PK\x03\x04"])
def test_other_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(UnsafeWeightsError, match="or is damaged"):
        convert_pickle(tmp_path / "m.pt", tmp_path, "float32")


@pytest.mark.parametrize(("content", "held"), [({"epoch": 3}, "epoch"), ([torch.ones(1)], "list")])
def test_what_is_no_state_dict_is_named(tmp_path: Path, content: object, held: str) -> None:
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(SourceError, match=f"not a state dict: it holds {held}"):
        convert_pickle(tmp_path / "m.pt", tmp_path, "float32")


def test_a_gguf_file_is_converted_and_draws_no_progress_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(tmp_path / "m.gguf")
    convert_gguf(tmp_path / "m.gguf", tmp_path / "out", "bfloat16")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert tensors["model.embed_tokens.weight"].dtype == torch.bfloat16
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"config.json", "tokenizer.json"}
    assert capsys.readouterr() == ("", "")


def test_the_progress_bars_of_others_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.gguf").write_bytes(b"")
    with pytest.raises(SourceError):
        convert_gguf(tmp_path / "m.gguf", tmp_path / "out", "float32")
    list(vars(gguf_reader)["tqdm"]([1], desc="theirs"))
    assert "theirs" in capsys.readouterr().err


def test_a_broken_gguf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(SourceError, match=r"m\.gguf cannot be converted"):
        convert_gguf(tmp_path / "m.gguf", tmp_path / "out", "float32")
