"""The Open Inference Protocol's request bodies. The JSON part only: binary data follows it in the same body."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Self

from pydantic import Field, model_validator

from deployments.api.http.parsing import WireModel, only
from models.errors import InvalidRequestError

Dimension = Annotated[int, Field(ge=0, lt=2**31)]
NoSharedMemory = Annotated[None, only()]


class InputParameters(WireModel):
    """``binary_data_size``: bytes of this tensor in the binary part."""

    binary_data_size: int | None = Field(default=None, ge=0)
    shared_memory_region: NoSharedMemory = None
    shared_memory_byte_size: NoSharedMemory = None
    shared_memory_offset: NoSharedMemory = None


class InputTensor(WireModel):
    """A tensor with its data in JSON or in the binary part."""

    name: str
    shape: tuple[Dimension, ...] = Field(max_length=32)
    datatype: str
    parameters: InputParameters = InputParameters()
    data: object = None

    @model_validator(mode="after")
    def _data_in_one_place(self) -> Self:
        if (self.data is None) == (self.parameters.binary_data_size is None):
            raise InvalidRequestError(
                f"tensor {self.name!r} needs either data or the parameter binary_data_size", param=self.name
            )
        return self


class OutputParameters(WireModel):
    """``binary_data``: whether this output comes back in the binary part; None: as the request says."""

    binary_data: bool | None = None
    classification: Annotated[None, only(0)] = None
    shared_memory_region: NoSharedMemory = None
    shared_memory_byte_size: NoSharedMemory = None
    shared_memory_offset: NoSharedMemory = None


class RequestedOutput(WireModel):
    """An output that the caller wants."""

    name: str
    parameters: OutputParameters = OutputParameters()


class InferParameters(WireModel):
    """``timeout``: microseconds, as in Triton; 0 is none. ``priority`` is taken and changes nothing."""

    binary_data_output: bool = False
    timeout: int = Field(default=0, ge=0)
    priority: int = Field(default=0, ge=0)
    sequence_id: Annotated[None, only(0, "")] = None
    sequence_start: Annotated[None, only(False)] = None
    sequence_end: Annotated[None, only(False)] = None


class InferBody(WireModel):
    """The body of an inference call."""

    id: str | None = None
    parameters: InferParameters = InferParameters()
    inputs: tuple[InputTensor, ...] = Field(min_length=1)
    outputs: tuple[RequestedOutput, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for field, names in (
            ("inputs", [tensor.name for tensor in self.inputs]),
            ("outputs", [tensor.name for tensor in self.outputs]),
        ):
            if len(set(names)) < len(names):
                ((name, count),) = Counter(names).most_common(1)
                raise InvalidRequestError(f"{field}: {name!r} is there {count} times", param=field)
        return self

    def wants_binary(self, output: str) -> bool:
        """Whether this output's data belongs into the binary part of the response."""
        asked = {tensor.name: tensor.parameters.binary_data for tensor in self.outputs}.get(output)
        return self.parameters.binary_data_output if asked is None else asked


class IndexBody(WireModel):
    """The body of a repository index call: ``ready`` leaves out the versions that are not."""

    ready: bool = False
