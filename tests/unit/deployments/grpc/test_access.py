"""The door over gRPC: who comes in, what is told to whom, and what is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from deployments.audit.record import Outcome
from deployments.dataplane.call import Call
from deployments.dataplane.door import Arrival, Ending, OpenDoor
from deployments.grpc import inference_pb2 as pb
from deployments.grpc.reception import GrpcSettings, Reception, is_this_machine
from deployments.grpc.rpc import Rpc
from deployments.grpc.servicer import GrpcService
from deployments.identity.caller import Caller
from models.errors import AuthenticationError, PermissionDeniedError, QuotaExceededError
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.grpc.conftest import SETTINGS, served
from tests.unit.deployments.grpc.inputs import numbers, text_input, typed_tensor
from tests.unit.deployments.grpc.test_inference import until_idle
from tests.unit.deployments.planes import eventually
from tests.unit.deployments.repository.fake import Rig

KEY = "sk-stow-abc"
ANSWERED = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"}


@dataclass
class Guard(OpenDoor):
    """Lets one key in, and remembers whom it saw."""

    arrivals: list[Arrival] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    rejections: list[Ending] = field(default_factory=list)

    def enter(self, arrival: Arrival) -> Call:
        self.arrivals.append(arrival)
        if arrival.key == "spent":
            raise QuotaExceededError("60 requests per minute are used up", retry_after_s=1.25)
        if arrival.key != KEY:
            raise AuthenticationError("invalid API key")
        caller = Caller(key="abc", tenant="acme")
        call = Call.start(arrival.request_id, arrival.timeout_s, caller, arrival.attributes)
        call.tally.rate_limits = ANSWERED
        return call

    def reject(self, arrival: Arrival, ending: Ending) -> None:
        self.rejections.append(ending)

    def leave(self, call: Call, ending: Ending) -> None:
        self.endings.append(ending)


@asynccontextmanager
async def silent(*requests: dict[str, Any]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """These requests, and then none, but no end either."""
    over = asyncio.Event()

    async def sent() -> AsyncIterator[dict[str, Any]]:
        for request in requests:
            yield request
        await over.wait()

    yield sent()
    over.set()


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
async def address(dataplane: FakeDataPlane, guard: Guard) -> AsyncIterator[str]:
    async with served(dataplane, guard, SETTINGS) as address:
        yield address


def keyed(**metadata: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {KEY}",
        **{name.replace("_", "-"): value for name, value in metadata.items()},
    }


async def infer(client: triton.InferenceServerClient, headers: dict[str, str]) -> None:
    await client.infer("adder", numbers(), headers=headers)


async def test_without_a_key(client: triton.InferenceServerClient, guard: Guard) -> None:
    assert await client.is_server_live()
    assert not await client.is_server_ready()
    assert guard.arrivals == []
    with pytest.raises(InferenceServerException, match="invalid API key") as raised:
        await infer(client, {})
    assert raised.value.status() == "StatusCode.UNAUTHENTICATED"
    assert guard.rejections == [Ending(16, Outcome.REFUSED, guard.rejections[0].error)]
    assert guard.endings == []


@pytest.mark.parametrize("headers", [keyed(), {"x-api-key": KEY}])
async def test_with_a_key(client: triton.InferenceServerClient, guard: Guard, headers: dict[str, str]) -> None:
    await infer(client, {**headers, "x-team": "research"})
    arrival = guard.arrivals[0]
    assert (arrival.protocol, arrival.operation) == ("grpc", "ModelInfer")
    assert arrival.attributes["x-team"] == "research"
    assert KEY not in repr(arrival)
    assert guard.endings == [Ending(0, Outcome.OK)]


async def test_a_wrong_key_ends_a_stream(client: triton.InferenceServerClient, guard: Guard) -> None:
    async def sent() -> AsyncIterator[dict[str, Any]]:
        for _ in range(2):
            yield {"model_name": "adder", "inputs": numbers()}

    answers = client.stream_infer(sent())
    _, error = await anext(aiter(answers))
    assert "invalid API key" in str(error)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(aiter(answers))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert len(guard.rejections) == 1


@pytest.mark.parametrize(
    ("metadata", "code", "said"),
    [
        ({}, grpc.StatusCode.UNAUTHENTICATED, "invalid API key"),
        (keyed(x_request_timeout="61"), grpc.StatusCode.INVALID_ARGUMENT, "up to 60"),
    ],
)
async def test_a_stream_that_may_not_come_in_ends_before_its_first_request(
    client: triton.InferenceServerClient, guard: Guard, metadata: dict[str, str], code: grpc.StatusCode, said: str
) -> None:
    async with asyncio.timeout(5), silent() as sent:
        answers = aiter(client.stream_infer(sent, headers=metadata))
        _, error = await anext(answers)
        assert said in str(error)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await anext(answers)
    assert raised.value.code() is code
    assert len(guard.rejections) == 1
    assert guard.endings == []


@pytest.mark.parametrize("requests", [[], [{"model_name": "adder", "inputs": numbers()}]])
async def test_a_stream_that_sends_nothing_for_too_long_ends(
    dataplane: FakeDataPlane, guard: Guard, requests: list[dict[str, Any]]
) -> None:
    settings = replace(SETTINGS, request_timeout_s=0.2)
    async with (
        asyncio.timeout(5),
        served(dataplane, guard, settings) as address,
        triton.InferenceServerClient(address) as client,
        silent(*requests) as sent,
    ):
        answers = aiter(client.stream_infer(sent, headers=keyed(x_request_timeout="0.1")))
        for _ in requests:
            assert (await anext(answers))[1] is None
        _, error = await anext(answers)
        assert "no request came on the stream for 0.2 s" in str(error)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await anext(answers)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [ending.outcome for ending in guard.endings] == [Outcome.OK] * len(requests)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        ("adder", [typed_tensor(name, "FP32", [1, 2], fp32_contents=[1, 2]) for name in "ab"]),
        ("echo", [typed_tensor("text_input", "BYTES", [1], bytes_contents=[b"one two"])]),
    ],
)
async def test_who_has_the_whole_answer_finds_it_in_the_books(
    dataplane: FakeDataPlane, guard: Guard, model: str, inputs: list[pb.ModelInferRequest.InferInputTensor]
) -> None:
    async def sent() -> AsyncIterator[pb.ModelInferRequest]:
        yield pb.ModelInferRequest(model_name=model, inputs=inputs)

    service = GrpcService(
        dataplane, guard, replace(SETTINGS, answers_other_machines=lambda: True), Rig().repository
    )
    async with aclosing(service.ModelStreamInfer(sent(), FromAfar())) as answers:
        async for answer in answers:
            is_final = answer.infer_response.parameters["triton_final_response"].bool_param
            assert guard.endings == ([Ending(0, Outcome.OK, streamed=True)] if is_final else [])
            assert dataplane.num_active == int(not is_final)
    assert is_final


async def test_each_request_of_a_stream_is_a_call(client: triton.InferenceServerClient, guard: Guard) -> None:
    async def sent() -> AsyncIterator[dict[str, Any]]:
        for model in ("adder", "absent", "adder"):
            yield {"model_name": model, "inputs": numbers()}

    assert len([pair async for pair in client.stream_infer(sent(), headers=keyed())]) == 3
    assert [ending.status for ending in guard.endings] == [0, 5, 0]
    assert [ending.outcome for ending in guard.endings] == [Outcome.OK, Outcome.REFUSED, Outcome.OK]
    assert all(ending.streamed for ending in guard.endings)


async def test_a_client_that_leaves_is_written_down(
    client: triton.InferenceServerClient, guard: Guard, dataplane: FakeDataPlane
) -> None:
    async def sent() -> AsyncIterator[dict[str, Any]]:
        yield {"model_name": "echo", "inputs": [text_input("forever")]}

    answers = client.stream_infer(sent(), headers=keyed())
    await anext(aiter(answers))
    answers.cancel()
    await until_idle(dataplane)
    await eventually(lambda: bool(guard.endings))
    assert guard.endings == [Ending(1, Outcome.CANCELLED, streamed=True)]


async def trailing(address: str, metadata: Sequence[tuple[str, str]], model: str = "adder") -> dict[str, str]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelReady",
            request_serializer=pb.ModelReadyRequest.SerializeToString,
            response_deserializer=pb.ModelReadyResponse.FromString,
        )(pb.ModelReadyRequest(name=model), metadata=metadata)
        return {key: str(value) for key, value in await call.trailing_metadata()}


async def test_what_an_answer_carries(address: str) -> None:
    told = await trailing(address, [("x-api-key", KEY), ("x-request-id", "mine")])
    assert told == {"x-request-id": "mine", **ANSWERED}
    assert len((await trailing(address, [("x-api-key", KEY)]))["x-request-id"]) == 32


async def test_when_to_come_again(address: str, guard: Guard) -> None:
    assert (await trailing(address, [("x-api-key", "spent")]))["retry-after-ms"] == "1250"
    assert guard.rejections[0].status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (keyed(x_request_timeout="x"), "'x' is not a number of seconds"),
        (keyed(x_request_timeout="61"), "up to 60"),
        (keyed(x_request_id="i" * 129), "not 1 to 128 printable"),
    ],
)
async def test_metadata_that_cannot_be_taken(
    client: triton.InferenceServerClient, guard: Guard, headers: dict[str, str], said: str
) -> None:
    with pytest.raises(InferenceServerException, match=said) as raised:
        await infer(client, headers)
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert guard.arrivals == []
    assert len(guard.rejections) == 1


async def test_the_metadata_gives_the_time(client: triton.InferenceServerClient, dataplane: FakeDataPlane) -> None:
    await infer(client, keyed())
    await infer(client, keyed(x_request_timeout="2.5"))
    assert dataplane.timeouts == pytest.approx([20, 2.5], abs=0.5)


class FromAfar:
    """The context of an RPC from another machine."""

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return [("authorization", f"Bearer {KEY}")]

    def trailing_metadata(self) -> list[tuple[str, str | bytes]]:
        return [("request_id", "by-serve")]

    def peer(self) -> str:
        return "ipv4:10.1.2.3:5000"

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def set_details(self, details: str) -> None: ...

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str]]) -> None: ...


async def test_other_machines_are_answered_only_if_told_so(guard: Guard) -> None:
    rpc = Rpc(FromAfar())
    assert rpc.request_id == "by-serve"
    with (
        pytest.raises(PermissionDeniedError, match=r"10\.1\.2\.3:5000 is not on this machine"),
        Reception(guard, GrpcSettings()).attend(rpc, "ModelInfer"),
    ):
        raise AssertionError("came in")
    assert guard.rejections[0].status == grpc.StatusCode.PERMISSION_DENIED.value[0]
    with Reception(guard, replace(SETTINGS, answers_other_machines=lambda: True)).attend(
        rpc, "ModelInfer"
    ) as call:
        assert call.caller.tenant == "acme"


@pytest.mark.parametrize(
    ("peer", "is_local"),
    [
        ("ipv4:127.0.0.1:5000", True),
        ("ipv4:127.9.9.9:5000", True),
        ("ipv6:[::1]:5000", True),
        ("ipv6:%5B::1%5D:5000", True),
        ("ipv6:[::ffff:127.0.0.1]:5000", True),
        ("unix:/tmp/socket", True),
        ("ipv4:10.0.0.1:127", False),
        ("ipv6:[2001:db8::1]:5000", False),
        ("ipv6:[::ffff:10.0.0.1]:5000", False),
        ("ipv6:[fe80::1%25lo]:5000", False),
        ("ipv4:localhost:5000", False),
        ("", False),
    ],
)
def test_what_is_this_machine(peer: str, is_local: bool) -> None:
    assert is_this_machine(peer) is is_local
