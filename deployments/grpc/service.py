"""Tells a gRPC server of the service in inference.proto. ``grpc_options`` names this function.

Serve calls it in its proxies and its controller: nothing else of Stowage may be imported here.
"""

from __future__ import annotations

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from deployments.grpc.inference_pb2 import DESCRIPTOR

SERVICE = DESCRIPTOR.services_by_name["GRPCInferenceService"]


def add_inference_service(servicer: object, server: grpc.Server | grpc.aio.Server) -> None:
    """``servicer`` has one method for each of the service's, under the same name."""
    handlers = {method.name: _handler(method, servicer) for method in SERVICE.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))


def _handler(method: MethodDescriptor, servicer: object) -> grpc.RpcMethodHandler[Message, Message]:
    streams = method.client_streaming and method.server_streaming
    make = grpc.stream_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    return make(
        getattr(servicer, method.name),
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
