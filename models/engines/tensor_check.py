"""Does a request's set of tensors fit the model's? Shapes, types and names; never values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.errors import InvalidRequestError
from models.types import Tensor, TensorSpec, VersionId


@dataclass(frozen=True, slots=True)
class Signature:
    """The tensors that a version takes and gives. Errors name it: two versions of one model may differ in them."""

    version: VersionId
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def check_inputs(self, tensors: Iterable[Tensor]) -> dict[str, Tensor]:
        """The tensors by name, one for each input. InvalidRequestError names the tensor at fault."""
        expected = {spec.name: spec for spec in self.inputs}
        given: dict[str, Tensor] = {}
        for tensor in tensors:
            if tensor.name in given:
                raise InvalidRequestError(f"input {tensor.name!r} is given twice", param=tensor.name)
            self._check_known(tensor.name, expected, "input")
            self._check_datatype(tensor, expected[tensor.name])
            self._check_shape(tensor, expected[tensor.name])
            given[tensor.name] = tensor
        self._check_complete(given)
        return given

    def check_outputs(self, names: Sequence[str]) -> tuple[TensorSpec, ...]:
        """The outputs wanted, in that order; all of them when none is named."""
        available = {spec.name: spec for spec in self.outputs}
        for name in names:
            self._check_known(name, available, "output")
        return tuple(available[name] for name in names) or self.outputs

    def _check_known(self, name: str, specs: Mapping[str, TensorSpec], kind: str) -> None:
        if name not in specs:
            known = ", ".join(f"{each!r}" for each in specs)
            raise InvalidRequestError(
                f"{self.version} has no {kind} {name!r}", remedy=f"it has {known}", param=name
            )

    def _check_datatype(self, tensor: Tensor, spec: TensorSpec) -> None:
        if tensor.datatype != spec.datatype:
            raise InvalidRequestError(
                f"input {tensor.name!r} has datatype {tensor.datatype}",
                remedy=f"{self.version} takes {describe(spec)}",
                param=tensor.name,
            )

    def _check_shape(self, tensor: Tensor, spec: TensorSpec) -> None:
        sizes = tensor.data.shape
        fits = len(sizes) == len(spec.shape) and all(
            wanted in (-1, size) for size, wanted in zip(sizes, spec.shape, strict=True)
        )
        if not fits:
            raise InvalidRequestError(
                f"input {tensor.name!r} has shape {list(sizes)}",
                remedy=f"{self.version} takes {describe(spec)}, where -1 is any size",
                param=tensor.name,
            )

    def _check_complete(self, given: Mapping[str, Tensor]) -> None:
        for spec in self.inputs:
            if spec.name not in given:
                raise InvalidRequestError(
                    f"input {spec.name!r} is missing",
                    remedy=f"{self.version} takes {describe(spec)}",
                    param=spec.name,
                )


def describe(spec: TensorSpec) -> str:
    return f"{spec.datatype} {list(spec.shape)}"
