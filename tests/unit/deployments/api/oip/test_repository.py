"""Triton's client loads and unloads."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import tritonclient.http as triton

from deployments.api.app import build_app
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served
from tests.unit.deployments.repository.fake import Rig


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.cluster.add("m@1")
    return made


@pytest.fixture
def address(rig: Rig) -> Iterator[str]:
    with served(build_app(FakeDataPlane(), SETTINGS, operators=rig.operators)) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as opened:
        yield opened


def test_the_newest_version_is_loaded_and_the_only_one_unloaded(
    client: triton.InferenceServerClient, rig: Rig
) -> None:
    client.load_model("other", config='{"num_cpus": 0.5}')
    assert rig.cluster.there["other@1"].args["num_cpus"] == 0.5
    client.unload_model("other", unload_dependents=True)
    assert set(rig.cluster.there) == {"m@1"}


def test_refusals_say_why(client: triton.InferenceServerClient, rig: Rig) -> None:
    with pytest.raises(triton.InferenceServerException, match="m@1 is the only version of m"):
        client.unload_model("m")
    with pytest.raises(triton.InferenceServerException, match="not in the store"):
        client.load_model("m@7")
    with pytest.raises(triton.InferenceServerException, match="config is not a JSON object"):
        client.load_model("m", config="[]")
    with pytest.raises(triton.InferenceServerException, match="'absent' is not deployed"):
        client.unload_model("absent")


def test_without_triton_s_client_force_and_no_body_do_too(address: str, rig: Rig) -> None:
    url = f"http://{address}/v2/repository/models"
    assert httpx.post(f"{url}/m@2/load").status_code == 200
    forced = httpx.post(f"{url}/m@1/unload", json={"parameters": {"force": True}})
    assert (forced.status_code, forced.content) == (200, b"")
    assert set(rig.cluster.there) == {"m@2"}
    weights = httpx.post(f"{url}/m/load", json={"parameters": {"file:1/model.onnx": "AAAA"}})
    assert (weights.status_code, "unknown field parameters.file:1/model.onnx" in weights.text) == (400, True)
