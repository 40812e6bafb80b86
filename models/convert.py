"""Turn weights that cannot be served as they are into safetensors. Imports torch: seconds, and a lot of memory."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers import modeling_gguf_pytorch_utils as gguf_reader
from transformers.utils import logging

from models.errors import SourceError, UnsafeWeightsError
from models.safetensors_file import StoredTensor
from models.selection import ONE_FILE
from models.spec import DType

_DTYPES: dict[DType, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def convert_gguf(path: Path, target: Path, dtype: DType) -> None:
    """Write a GGUF language model to ``target`` as safetensors with its configuration, tokenizer and template.

    Quantised weights become ``dtype``. SourceError when transformers does not know the model's architecture.
    """
    with _without_progress_bars():
        model, tokenizer = _load_gguf(path, _DTYPES[dtype])
        # Loading marks the model as quantised, which it no longer is; save_pretrained would refuse it.
        model.hf_quantizer = None  # type: ignore[assignment]
        _unmark(model)
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def preview_gguf(path: Path, target: Path, dtype: DType) -> list[StoredTensor]:
    """The tensors that ``convert_gguf`` would write; its configuration and tokenizer are written to ``target``.

    Only the header of ``path`` is read; no more of it has to be there, if its size is right. SourceError as there.
    """
    with _without_progress_bars():
        model, tokenizer = _read_gguf(path, _DTYPES[dtype])
        _unmark(model)
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(target)
        tokenizer.save_pretrained(target)
    return _distinct(model.state_dict())


def _load_gguf(path: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    folder, name = str(path.parent), path.name
    with _explained(name):
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype)
        return model, AutoTokenizer.from_pretrained(folder, gguf_file=name)


def _read_gguf(path: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The same, with a model that has shapes and no memory."""
    folder, name = str(path.parent), path.name
    with _explained(name), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, gguf_file=name)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
        return model, AutoTokenizer.from_pretrained(folder, gguf_file=name)


@contextmanager
def _explained(name: str) -> Generator[None]:
    try:
        yield
    except Exception as error:  # The reader checks little: a broken file makes it raise anything.
        raise SourceError(
            f"{name} cannot be converted: {error}", remedy="use the model's safetensors files"
        ) from error


def _unmark(model: PreTrainedModel) -> None:
    for mark in ("quantization_config", "_model_name_or_path"):
        vars(model.config).pop(mark, None)


def _distinct(tensors: Mapping[str, torch.Tensor]) -> list[StoredTensor]:
    """Tensors that share their memory, as a tied head does with the embedding, are written once, by one name."""
    by_storage: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        by_storage.setdefault(tensor.untyped_storage()._cdata, (name, tensor))
    return [StoredTensor(name, _name(tensor.dtype), tuple(tensor.shape)) for name, tensor in by_storage.values()]


@contextmanager
def _without_progress_bars() -> Generator[None]:
    """transformers draws bars that nobody asked for, also into log files."""
    were_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # The GGUF reader alone has tqdm's own bar, which that switch does not reach, and tqdm read TQDM_DISABLE when
    # it was imported, long ago. So the reader gets the bar of transformers, for as long as the switch is off.
    reader_names = vars(gguf_reader)
    unswitched = reader_names["tqdm"]
    reader_names["tqdm"] = logging.tqdm
    try:
        yield
    finally:
        reader_names["tqdm"] = unswitched
        if were_on:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def convert_pickle(path: Path, target: Path, dtype: DType) -> None:
    """Write a pickled state dict to ``target`` as safetensors, its floating-point tensors as ``dtype``.

    Opened with ``torch.load(weights_only=True)``, which builds tensors and plain containers and runs no code.
    UnsafeWeightsError when it holds anything else.
    """
    tensors = _open_pickle(path, "cpu")
    save_file({name: _plain(tensor, _DTYPES[dtype]) for name, tensor in tensors.items()}, target / ONE_FILE)


def preview_pickle(path: Path, dtype: DType) -> list[StoredTensor]:
    """The tensors that ``convert_pickle`` would write; errors as there."""
    return [
        StoredTensor(name, dtype if tensor.is_floating_point() else _name(tensor.dtype), tuple(tensor.shape))
        for name, tensor in _open_pickle(path, "meta").items()
    ]


def _open_pickle(path: Path, device: str) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # Bytes that are no pickle make the unpickler raise anything.
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].partition("\n")[0]
        raise UnsafeWeightsError(
            f"{path.name} holds something else than tensors, or is damaged: {reason}",
            remedy="use a safetensors, ONNX or GGUF file of the model",
        ) from error
    return _state_dict(content, path.name)


def _state_dict(content: object, file_name: str) -> dict[str, torch.Tensor]:
    """The tensors by name, also when they lie under ``state_dict`` as training frameworks save them."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if isinstance(content, dict) and all(isinstance(value, torch.Tensor) for value in content.values()):
        return {str(name): tensor for name, tensor in content.items()}
    held = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
    raise SourceError(
        f"{file_name} is not a state dict: it holds {held}", remedy="save model.state_dict() and import that"
    )


def _plain(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of its own, since safetensors refuses tensors that share memory."""
    return tensor.to(dtype if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
