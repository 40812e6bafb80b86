from __future__ import annotations

import pytest

from models.errors import SourceError, UnsafeWeightsError
from models.selection import INDEX_FILE, Selection, name_in_version, select_files, select_tokenizer
from models.types import WeightFormat
from models.weight_source import Contents, SourceFile

SHARDS = "model-00001-of-00002.safetensors model-00002-of-00002.safetensors"


def holding(*names: str) -> Contents:
    return Contents(tuple(SourceFile(name, 1) for name in names))


def select(*names: str, allow_pickle: bool = False) -> Selection:
    return select_files(holding(*names), "file:/m", allow_pickle=allow_pickle)


def weights(selection: Selection) -> list[str]:
    return [file.name for file in selection.weights]


def test_only_what_is_on_the_list_is_taken() -> None:
    taken = {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "merges.txt",
        "chat_template.jinja",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "LICENSE.txt",
        "README.md",
    }
    left = {
        "modeling_x.py",
        "tokenizer.py",
        "training_args.bin",
        "data_config.json",
        "2_Dense/model.safetensors",
        "onnx/config.json",
        "1_Pooling/run.py",
        ".gitattributes",
        "run.jinja.py",
    }
    selection = select("model.safetensors", *taken, *left)
    assert {file.name for file in selection.sidecars} == taken
    assert weights(selection) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("taken", "left", "wanted"),
    [
        ("model.safetensors", "m.onnx m.gguf pytorch_model.bin adapter.safetensors", WeightFormat.SAFETENSORS),
        (f"{INDEX_FILE} {SHARDS}", "consolidated.safetensors", WeightFormat.SAFETENSORS),
        ("m.onnx", "m.gguf", WeightFormat.ONNX),
        ("onnx/m.onnx onnx/m.onnx_data", "m.onnx_data", WeightFormat.ONNX),
        ("m.gguf", "x.bin", WeightFormat.GGUF),
    ],
)
def test_the_safest_format_wins(taken: str, left: str, wanted: WeightFormat) -> None:
    selection = select(*taken.split(), *left.split())
    assert selection.format is wanted
    assert weights(selection) == taken.split()


@pytest.mark.parametrize("names", [("a.gguf", "b.gguf"), ("a.onnx", "b.onnx"), ("a.safetensors", "b.safetensors")])
def test_several_models_are_listed(names: tuple[str, str]) -> None:
    with pytest.raises(SourceError) as caught:
        select(*names)
    assert f"holds 2 models: {names[0]}, {names[1]}" in str(caught.value)
    assert caught.value.remedy == "name one of them in the source"


def test_no_weights_at_all() -> None:
    with pytest.raises(
        SourceError, match=r"holds no weights in safetensors, ONNX or GGUF \(it holds config\.json"
    ):
        select("config.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "m.pt", "m.pth", "m.ckpt", "m.pkl", "model.h5", "m.joblib"])
def test_pickles_are_refused(name: str) -> None:
    with pytest.raises(UnsafeWeightsError, match=f"holds only {name}: such a file can run any code"):
        select(name)


def test_a_state_dict_is_taken_when_allowed() -> None:
    selection = select("pytorch_model.bin", "optimizer.pt", "config.json", allow_pickle=True)
    assert selection.format is None
    assert weights(selection) == ["pytorch_model.bin"]


def test_what_torch_cannot_load_safely_is_refused_even_when_allowed() -> None:
    with pytest.raises(UnsafeWeightsError) as caught:
        select("model.h5", allow_pickle=True)
    assert "allow_pickle" not in str(caught.value)


def test_names_inside_the_version() -> None:
    for name, wanted in {
        "weird.safetensors": "model.safetensors",
        "model-00001-of-00002.safetensors": "model-00001-of-00002.safetensors",
        "onnx/m.onnx": "m.onnx",
        "onnx/m.onnx_data": "m.onnx_data",
        "1_Pooling/config.json": "1_Pooling/config.json",
    }.items():
        assert name_in_version(SourceFile(name, 1)) == wanted


def test_a_second_source_gives_its_tokenizer_and_perhaps_its_pooling() -> None:
    contents = holding(
        "model.safetensors", "config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"
    )
    alone = select_tokenizer(contents, "file:/m", with_pooling=False)
    both = select_tokenizer(contents, "file:/m", with_pooling=True)
    assert [file.name for file in alone] == ["tokenizer.json"]
    assert [file.name for file in both] == ["tokenizer.json", "modules.json", "1_Pooling/config.json"]


def test_a_second_source_without_a_tokenizer() -> None:
    with pytest.raises(SourceError, match="file:/m holds no tokenizer"):
        select_tokenizer(holding("config.json"), "file:/m", with_pooling=True)


@pytest.mark.parametrize("name", ["../x.onnx", "/etc/x.onnx", "a/../../x.onnx", ""])
def test_a_source_cannot_name_files_outside_of_itself(name: str) -> None:
    with pytest.raises(SourceError, match="outside of it"):
        SourceFile(name, 1)
