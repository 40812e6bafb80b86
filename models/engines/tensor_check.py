"""Does a request's set of tensors fit the model's? Shapes, types and names; never values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from models.errors import InvalidRequestError
from models.types import Tensor, TensorSpec


def check_inputs(tensors: Iterable[Tensor], specs: Iterable[TensorSpec]) -> dict[str, Tensor]:
    """The tensors by name, one for each spec. InvalidRequestError names the tensor at fault."""
    expected = {spec.name: spec for spec in specs}
    given: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in given:
            raise InvalidRequestError(f"input {tensor.name!r} is given twice", param=tensor.name)
        _check_known(tensor.name, expected, "input")
        _check_datatype(tensor, expected[tensor.name])
        _check_shape(tensor, expected[tensor.name])
        given[tensor.name] = tensor
    _check_complete(given, expected)
    return given


def check_outputs(names: Sequence[str], specs: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The outputs wanted, in that order; all of them when none is named."""
    available = {spec.name: spec for spec in specs}
    for name in names:
        _check_known(name, available, "output")
    return tuple(available[name] for name in names) or tuple(available.values())


def describe(spec: TensorSpec) -> str:
    return f"{spec.datatype} {list(spec.shape)}"


def _check_known(name: str, specs: Mapping[str, TensorSpec], kind: str) -> None:
    if name not in specs:
        known = ", ".join(f"{each!r}" for each in specs)
        raise InvalidRequestError(f"the model has no {kind} {name!r}", remedy=f"it has {known}", param=name)


def _check_datatype(tensor: Tensor, spec: TensorSpec) -> None:
    if tensor.datatype != spec.datatype:
        raise InvalidRequestError(
            f"input {tensor.name!r} has datatype {tensor.datatype}",
            remedy=f"the model takes {describe(spec)}",
            param=tensor.name,
        )


def _check_shape(tensor: Tensor, spec: TensorSpec) -> None:
    sizes = tensor.data.shape
    fits = len(sizes) == len(spec.shape) and all(
        wanted in (-1, size) for size, wanted in zip(sizes, spec.shape, strict=True)
    )
    if not fits:
        raise InvalidRequestError(
            f"input {tensor.name!r} has shape {list(sizes)}",
            remedy=f"the model takes {describe(spec)}, where -1 is any size",
            param=tensor.name,
        )


def _check_complete(given: Mapping[str, Tensor], expected: Mapping[str, TensorSpec]) -> None:
    for name, spec in expected.items():
        if name not in given:
            raise InvalidRequestError(
                f"input {name!r} is missing", remedy=f"the model takes {describe(spec)}", param=name
            )
