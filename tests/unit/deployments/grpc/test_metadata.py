from __future__ import annotations

import pytest
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from deployments.dataplane.door import OpenDoor
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.grpc.conftest import SETTINGS, served


async def test_health(client: triton.InferenceServerClient) -> None:
    assert await client.is_server_live()
    assert not await client.is_server_ready()  # broken@1 is deployed
    assert await client.is_model_ready("echo")
    assert await client.is_model_ready("echo", "1")
    assert not await client.is_model_ready("broken")


async def test_a_server_whose_models_are_all_ready() -> None:
    dataplane = FakeDataPlane(with_broken=False)
    async with (
        served(dataplane, OpenDoor(), SETTINGS) as address,
        triton.InferenceServerClient(address) as client,
    ):
        assert await client.is_server_ready()


async def test_server_metadata(client: triton.InferenceServerClient) -> None:
    metadata = await client.get_server_metadata()
    assert (metadata.name, metadata.version) == ("stowage", SETTINGS.server_version)
    assert "model_repository" in metadata.extensions


async def test_metadata_of_a_model_on_tensors(client: triton.InferenceServerClient) -> None:
    adder = await client.get_model_metadata("adder")
    assert (adder.name, list(adder.versions), adder.platform) == ("adder", ["1"], "onnx")
    assert [(spec.name, spec.datatype, list(spec.shape)) for spec in adder.inputs] == [
        ("a", "FP32", [-1, 2]),
        ("b", "FP32", [-1, 2]),
    ]
    assert [spec.name for spec in adder.outputs] == ["sum"]


async def test_metadata_of_a_generating_model(client: triton.InferenceServerClient) -> None:
    echo = await client.get_model_metadata("echo@1", "1")
    assert list(echo.versions) == ["1", "2"]
    assert [(spec.name, spec.datatype, list(spec.shape)) for spec in echo.inputs] == [("text_input", "BYTES", [1])]
    assert [spec.name for spec in echo.outputs] == ["text_output"]


async def test_repository_index(client: triton.InferenceServerClient) -> None:
    index = (await client.get_model_repository_index()).models
    assert [(entry.name, entry.version) for entry in index][:2] == [("adder", "1"), ("broken", "1")]
    assert (index[1].state, index[1].reason) == ("UNAVAILABLE", "its weights are damaged")
    assert {entry.state for entry in index if entry.name == "echo"} == {"READY"}


@pytest.mark.parametrize(
    ("model", "version", "status", "said"),
    [
        ("absent", "", "StatusCode.NOT_FOUND", "there are adder"),
        ("broken", "", "StatusCode.UNAVAILABLE", "its weights are damaged"),
        ("echo@1", "2", "StatusCode.INVALID_ARGUMENT", "contradicts the version '2'"),
    ],
)
async def test_models_that_cannot_be_asked(
    client: triton.InferenceServerClient, model: str, version: str, status: str, said: str
) -> None:
    with pytest.raises(InferenceServerException, match=said) as raised:
        await client.get_model_metadata(model, version)
    assert raised.value.status() == status


async def test_what_is_not_there_is_unimplemented(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as raised:
        await client.get_log_settings()
    assert raised.value.status() == "StatusCode.UNIMPLEMENTED"
