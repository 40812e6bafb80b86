"""The generated messages, the published protocol, and what the proxies import."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from tritonclient.grpc import service_pb2 as published

from deployments.grpc import generate, service
from deployments.grpc import inference_pb2 as pb


def test_the_proto_gives_what_is_committed(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    for name in generate.GENERATED:
        assert (tmp_path / name).read_text() == (generate.ROOT / name).read_text(), f"{name}: run make proto"


@pytest.mark.parametrize("name", sorted(pb.DESCRIPTOR.message_types_by_name))
def test_messages_are_the_published_ones(name: str) -> None:
    ours, theirs = pb.DESCRIPTOR.message_types_by_name[name], published.DESCRIPTOR.message_types_by_name[name]
    assert fields(ours) == fields(theirs)


def test_methods_are_the_published_ones() -> None:
    theirs = published.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    assert service.SERVICE.full_name == "inference.GRPCInferenceService"
    for method in service.SERVICE.methods:
        other = theirs[method.name]
        assert (method.input_type.full_name, method.output_type.full_name) == (
            other.input_type.full_name,
            other.output_type.full_name,
        )
        assert (method.client_streaming, method.server_streaming) == (
            other.client_streaming,
            other.server_streaming,
        )


def test_messages_travel_between_processes() -> None:
    request = pb.ModelInferRequest(model_name="echo", raw_input_contents=[b"x" * 100])
    request.parameters["max_tokens"].int64_param = 3
    copy = pickle.loads(pickle.dumps(request))  # noqa: S301
    assert copy == request
    assert type(copy) is pb.ModelInferRequest


def test_the_proxies_import_nothing_else_of_ours() -> None:
    code = (
        "import sys, deployments.grpc.service\n"
        "print(sorted(name for name in sys.modules if name.startswith(('deployments.', 'models.'))))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=generate.ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(
        ["deployments.grpc", "deployments.grpc.inference_pb2", "deployments.grpc.service"]
    )


def fields(message: Descriptor) -> object:
    """Everything that the wire depends on, nested messages included."""
    nested = [fields(inner) for inner in sorted(message.nested_types, key=lambda inner: inner.name)]
    return (
        message.full_name,
        [
            (
                each.number,
                each.name,
                each.type,
                each.is_repeated,
                each.message_type and each.message_type.full_name,
            )
            for each in message.fields
        ],
        nested,
    )
