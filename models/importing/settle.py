"""How a checkpoint is to be stored, so that each process can use its tensors where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import SourceError
from models.importing.configuration import Configuration, read_configuration
from models.importing.tensors import TensorTotals, count_tensors
from models.safetensors_file import FLOATS, StoredTensor
from models.spec import DType
from models.types import Task

if TYPE_CHECKING:
    from models.rewrite import Rewriting
    from models.weight_layout import Piece, WeightLayout

# What a GGUF file or a pickled state dict becomes when nothing else is said.
CONVERSION_DTYPE: DType = "float32"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What will be stored, and how to write it; ``rewriting`` None: the files as they are."""

    totals: TensorTotals
    rewriting: Rewriting | None = None


def settle(stored: Sequence[StoredTensor], folder: Path, task: Task, dtype: DType | None) -> Settlement:
    """The model's ``stored`` tensors in ``dtype`` (None: the one that most of them have), cast and merged.

    ``folder`` holds config.json. What is quantised stays as it is, and counts as private to each process: how it
    is unpacked is the quantiser's matter. SourceError when a cast of that is asked, or the model is not known.
    """
    configuration = read_configuration(folder)
    own_dtype = _own_dtype(stored, configuration)
    if own_dtype is None:
        return _untouched(stored, dtype)
    from models.rewrite import Rewriting  # noqa: PLC0415 - torch, only for an import or its preview
    from models.weight_layout import WeightLayout  # noqa: PLC0415

    layout = WeightLayout(folder, task, dtype or own_dtype)
    pieces = _lasting(layout, layout.pieces(stored))
    tensors = [tensor for piece in pieces for tensor in piece.wanted]
    private_bytes = sum(piece.num_bytes for piece in layout.pieces(tensors) if not piece.is_attached)
    totals = count_tensors(tensors, private_bytes=private_bytes)
    is_as_wanted = all(piece.stored == piece.wanted for piece in pieces)
    return Settlement(totals, None if is_as_wanted else Rewriting(layout, tuple(pieces)))


def _own_dtype(stored: Sequence[StoredTensor], configuration: Configuration | None) -> str | None:
    """The type that most bytes of floating-point numbers have; None for quantised weights."""
    floats = [tensor for tensor in stored if tensor.dtype in FLOATS]
    if (configuration is not None and configuration.quantization_config is not None) or not floats:
        return None
    return count_tensors(floats).dtype


def _untouched(stored: Sequence[StoredTensor], dtype: DType | None) -> Settlement:
    totals = count_tensors(stored)
    if dtype is not None:
        raise SourceError(
            f"the weights are quantised (most are {totals.dtype}), which a cast to {dtype} would not undo",
            remedy="leave dtype out, or import the model's weights from before they were quantised",
        )
    return Settlement(replace(totals, shared_bytes=0))


def _lasting(layout: WeightLayout, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces to write: those that transformers would convert again after that are left as they are stored."""
    written = [tensor for piece in pieces if not piece.is_attached for tensor in piece.wanted]
    again = {tensor.name for piece in layout.pieces(written) if not piece.is_attached for tensor in piece.stored}
    return [
        replace(piece, wanted=piece.stored)
        if piece.is_attached or any(tensor.name in again for tensor in piece.wanted)
        else piece
        for piece in pieces
    ]
