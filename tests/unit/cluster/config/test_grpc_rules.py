from __future__ import annotations

import pytest
from ray.serve.schema import ServeDeploySchema

from cluster.config.config_file import Complaint
from cluster.config.grpc_rules import GRPC_SERVICE, grpc_complaints
from cluster.config.serve_schema import grpc_port
from deployments.grpc import service


def complaints(**file: object) -> list[Complaint]:
    return list(grpc_complaints(file))


def test_the_service_is_the_one_that_is_there() -> None:
    module, _, function = GRPC_SERVICE.partition(":")
    assert getattr(service, function).__module__ == module


@pytest.mark.parametrize(
    "file",
    [
        {},
        {"grpc_options": {"port": 9000, "grpc_servicer_functions": [GRPC_SERVICE]}},
        {"grpc_options": {"grpc_servicer_functions": [GRPC_SERVICE]}, "http_options": {"port": 9001}},
        {"http_options": {"port": 9000}},
    ],
)
def test_files_without_fault(file: dict[str, object]) -> None:
    assert complaints(**file) == []


@pytest.mark.parametrize("options", [{}, {"port": 9000}, {"grpc_servicer_functions": []}])
def test_options_that_start_nothing(options: dict[str, object]) -> None:
    [complaint] = complaints(grpc_options=options)
    assert complaint.path == ("grpc_options", "grpc_servicer_functions")
    assert "no gRPC server is started" in complaint.message


def test_a_function_that_is_not_answered() -> None:
    functions = [GRPC_SERVICE, "deployments.grpc.service:add_inference_servic"]
    [complaint] = complaints(grpc_options={"grpc_servicer_functions": functions})
    assert complaint.path == ("grpc_options", "grpc_servicer_functions", 1)
    assert f"did you mean '{GRPC_SERVICE}'" in complaint.message


@pytest.mark.parametrize(
    ("grpc", "http", "port"),
    [({"port": 8123}, {"port": 8123}, 8123), ({"port": 8000}, {}, 8000), ({}, {"port": 9000}, 9000)],
)
def test_one_port_cannot_serve_both(grpc: dict[str, object], http: dict[str, object], port: int) -> None:
    options = {"grpc_servicer_functions": [GRPC_SERVICE], **grpc}
    [complaint] = complaints(grpc_options=options, http_options=http)
    assert complaint == Complaint(("grpc_options", "port"), f"{port} is the port of http_options already")


def test_what_serve_takes_where_the_file_says_nothing() -> None:
    schema = ServeDeploySchema(applications=[])
    assert (schema.http_options.port, schema.grpc_options.port) == (8000, 9000)
    assert grpc_port({"applications": []}) is None
    on = {"applications": [], "grpc_options": {"grpc_servicer_functions": [GRPC_SERVICE]}}
    assert grpc_port(on) == 9000
