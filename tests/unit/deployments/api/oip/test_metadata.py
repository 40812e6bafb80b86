from __future__ import annotations

import httpx
import pytest
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from deployments.api.app import build_app
from deployments.api.http.settings import ApiSettings
from models.version import VERSION
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import served


def test_the_server(client: InferenceServerClient) -> None:
    metadata = client.get_server_metadata()
    assert metadata["name"] == "stowage"
    assert "binary_tensor_data" in metadata["extensions"]


def test_the_version_is_the_projects(client: InferenceServerClient) -> None:
    assert client.get_server_metadata()["version"] == VERSION


def test_liveness_and_readiness(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert not client.is_server_ready()
    healthy = build_app(FakeDataPlane(with_broken=False), ApiSettings())
    with served(healthy) as address, InferenceServerClient(address) as other:
        assert other.is_server_ready()


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [("echo", "", True), ("echo", "1", True), ("echo@1", "", True), ("echo", "9", False), ("broken", "", False)],
)
def test_readiness_of_a_model(client: InferenceServerClient, name: str, version: str, ready: bool) -> None:
    assert client.is_model_ready(name, version) is ready


def test_a_models_metadata(client: InferenceServerClient) -> None:
    adder = client.get_model_metadata("adder", "1")
    assert adder == {
        "name": "adder",
        "versions": ["1"],
        "platform": "onnx",
        "inputs": [{"name": name, "datatype": "FP32", "shape": [-1, 2]} for name in "ab"],
        "outputs": [{"name": "sum", "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert client.get_model_metadata("echo")["versions"] == ["1", "2"]


def test_metadata_of_a_model_that_is_not_there(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no model 'nobody' is deployed") as caught:
        client.get_model_metadata("nobody")
    assert caught.value.status() == "404"


def test_the_repository_index(client: InferenceServerClient, http: httpx.Client) -> None:
    index = client.get_model_repository_index()
    assert [(entry["name"], entry["version"], entry["state"]) for entry in index] == [
        ("adder", "1", "READY"),
        ("broken", "1", "UNAVAILABLE"),
        ("echo", "1", "READY"),
        ("echo", "2", "READY"),
        ("mini", "1", "READY"),
    ]
    assert index[1]["reason"] == "its weights are damaged"
    ready = http.post("/v2/repository/index", json={"ready": True}).json()
    assert "broken" not in {entry["name"] for entry in ready}
