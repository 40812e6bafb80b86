"""Triton's client loads and unloads over gRPC."""

from __future__ import annotations

import pytest
import tritonclient.grpc.aio as triton

from deployments.dataplane.door import OpenDoor
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.grpc.conftest import SETTINGS, served
from tests.unit.deployments.repository.fake import Rig


async def test_a_version_goes_in_and_out(dataplane: FakeDataPlane) -> None:
    rig = Rig()
    rig.cluster.add("m@1")
    async with (
        served(dataplane, OpenDoor(), SETTINGS, rig.repository) as address,
        triton.InferenceServerClient(address) as client,
    ):
        await client.load_model("m", config='{"num_cpus": 0.5}')
        assert rig.cluster.there["m@2"].args["num_cpus"] == 0.5
        await client.unload_model("m@2")
        assert set(rig.cluster.there) == {"m@1"}
        for code, attempt in (
            ("FAILED_PRECONDITION", client.unload_model("m")),
            ("NOT_FOUND", client.load_model("m@7")),
            ("INVALID_ARGUMENT", client.load_model("m", config="[]")),
            ("INVALID_ARGUMENT", client.load_model("m", config="{}", files={"file:1/model.onnx": b"x"})),
        ):
            with pytest.raises(triton.InferenceServerException) as refused:
                await attempt
            assert refused.value.status() == f"StatusCode.{code}"
