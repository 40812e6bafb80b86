"""The parameters of requests and tensors: the protocol's map of values, read as strictly as JSON bodies are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import Field

from deployments.api.http.parsing import WireModel, only, parse
from deployments.api.http.sampling import SamplingFields
from deployments.dataplane.call import Call
from deployments.grpc.inference_pb2 import InferParameter, ModelRepositoryParameter
from models.errors import InvalidRequestError, UnsupportedOptionError

_MICROSECONDS = 1e-6
NoSharedMemory = Annotated[None, only()]


class CallParameters(WireModel):
    """Of any request. ``timeout``: microseconds, as in Triton; 0 is none. ``priority`` changes nothing.

    ``triton_enable_empty_final_response`` changes nothing either: the last response of a stream says that it is.
    """

    timeout: int = Field(default=0, ge=0)
    priority: int = Field(default=0, ge=0)
    sequence_id: Annotated[None, only(0, "")] = None
    sequence_start: Annotated[None, only(False)] = None
    sequence_end: Annotated[None, only(False)] = None
    triton_enable_empty_final_response: bool = False

    def shorten(self, call: Call) -> Call:
        """The call with no more time than this leaves it."""
        return call.shortened(self.timeout * _MICROSECONDS) if self.timeout else call


class GenerationParameters(CallParameters, SamplingFields):
    """Of a generation: how to choose tokens, too."""


class InputParameters(WireModel):
    """Of an input tensor."""

    shared_memory_region: NoSharedMemory = None
    shared_memory_byte_size: NoSharedMemory = None
    shared_memory_offset: NoSharedMemory = None


class OutputParameters(InputParameters):
    """Of a tensor that is wanted back."""

    classification: Annotated[None, only(0)] = None


P = TypeVar("P", bound=WireModel)


Parameter = InferParameter | ModelRepositoryParameter


def read_parameters(kind: type[P], parameters: Mapping[str, Parameter]) -> P:
    """InvalidRequestError names the first parameter at fault and what it should be."""
    values = {name: _value(name, parameter) for name, parameter in parameters.items()}
    return parse(kind, json.dumps(values).encode())


def _value(name: str, parameter: Parameter) -> bool | int | str | float:
    choice = parameter.WhichOneof("parameter_choice")
    if choice == "bytes_param":
        raise UnsupportedOptionError(
            f"parameter {name!r} brings a file: weights come from the model store",
            remedy="import them there first, with `stowage models import`", param=name,
        )  # fmt: skip
    if choice is None:
        raise InvalidRequestError(f"parameter {name!r} has no value", param=name)
    value: bool | int | str | float = getattr(parameter, choice)
    return value
