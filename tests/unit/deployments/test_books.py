"""Door and limits of one router replica: what a call reserves, what it is charged, and what is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from deployments.args import KeyPolicy
from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import Outcome, RequestRecord
from deployments.audit.segments import list_segments
from deployments.audit.writer import JournalWriter
from deployments.books import Books, Limiter
from deployments.dataplane.build import Seams, build_dataplane
from deployments.dataplane.call import Call
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.door import Arrival, Ending
from deployments.dataplane.operations import DataPlane
from deployments.dataplane.traffic import Traffic
from deployments.identity.caller import ANONYMOUS, NOBODY
from deployments.limits.allowance import Allowance
from deployments.limits.amounts import Unit
from deployments.limits.limit_set import Counter
from deployments.routing.policy import RouterPolicy
from deployments.state.api_key import ApiKey, KeyGrant, digest_text, make_text
from deployments.state.keyring import Keyring
from deployments.state.projection import charged
from models.errors import (
    AuthenticationError,
    EngineError,
    ModelUnavailableError,
    QuotaExceededError,
    StateUnavailableError,
)
from models.types import EmbeddingRequest, GenerationChunk, InferRequest, Usage
from tests.unit.deployments.limits.state import Book
from tests.unit.deployments.live_models import CHUNKS, Cluster, Replicas, state
from tests.unit.deployments.planes import GREEDY, LONG_S, a_call, eventually, waiting_up_to

NOW = 1_800_000_000.0
PREFIX = "ab12cd34"
TEXT = make_text(PREFIX)
LIMITS = {
    "requests_per_minute": 10,
    "tokens_per_minute": 1000,
    "tokens_per_day": 5000,
    "cost_per_day": "1",
    "concurrent_requests": 2,
}
ONE_PER_MINUTE = {"tenants": {"default": {"limits": {"requests_per_minute": 1}}}}


def keyring(**grant: object) -> Keyring:
    """With one key, whose text is TEXT."""
    wanted = KeyGrant.model_validate({"owner": "ann", "tenant": "acme", "limits": LIMITS, **grant})
    return Keyring([ApiKey(PREFIX, digest_text(TEXT), wanted, created_at=NOW)])


@dataclass
class Office:
    """Books with a journal on disk and a state database in a dictionary."""

    books: Books
    allowance: Allowance
    database: Book
    folder: Path
    replicas: Replicas

    def records(self) -> list[RequestRecord]:
        chunks = [read_chunk(self.folder, Cursor(each.file), 2**20) for each in list_segments(self.folder)]
        return [record for chunk in chunks for record in chunk.records if isinstance(record, RequestRecord)]

    def enter(self, key: str | None = TEXT) -> Call:
        return self.books.enter(Arrival("r", "openai", "/v1/completions", LONG_S, key))

    def leave(self, call: Call, outcome: Outcome = Outcome.OK) -> RequestRecord:
        self.books.leave(call, Ending(200, outcome))
        return self.records()[-1]

    def reserved(self, unit: Unit) -> int:
        return max(lease.reserved for lease in self.allowance._leases.values() if lease.unit is unit)

    def settled(self) -> dict[Counter, int]:
        """What finished requests used, and the database does not count yet."""
        return {counter: lease.unbooked for counter, lease in self.allowance._leases.items() if lease.unbooked}

    async def plane(self, policy: dict[str, object] | None = None) -> DataPlane:
        """One that keeps these books."""
        catalog = Catalog(Cluster((state("m@1"), state("m@2"), state("spare@1"))).fetch, LONG_S)
        await catalog.refresh()
        traffic = Traffic(asyncio.get_running_loop().time, Random(1))  # noqa: S311
        traffic.set_policy(RouterPolicy.model_validate(policy or {"routes": {"m": {"version": "1"}}}))
        seams = Seams(self.replicas, self.replicas, self.books, self.books)
        return build_dataplane(catalog, seams, traffic, waiting_up_to())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    opened: list[JournalWriter] = []

    def make_office(keys: KeyPolicy = "auto", known: Keyring | None = None, **policy: object) -> Office:
        journal = JournalWriter(tmp_path, "r1", lambda: datetime.fromtimestamp(NOW, UTC))
        opened.append(journal)
        allowance, database = Allowance(), Book()

        async def refill() -> None:
            database.tick("r1", allowance, NOW)

        books = Books("r1", keys, journal, Limiter(allowance, refill, lambda: None), lambda: NOW)
        books.set_policy(RouterPolicy.model_validate(policy))
        if known is not None:
            books.set_keys(known)
        return Office(books, allowance, database, tmp_path, Replicas())

    yield make_office
    for journal in opened:
        journal.close()


@pytest.fixture
def office(make: Callable[..., Office]) -> Office:
    """With one key that has limits, and a price."""
    price = {"input": "1", "output": "2", "request": "0.001"}
    return make(known=keyring(), models={"m": {"price": price}})


async def test_without_keys_everybody_is_the_operator(make: Callable[..., Office]) -> None:
    office = make(known=Keyring([]))
    assert office.books.asks_for_keys is False
    assert office.enter(None).caller == office.enter("nonsense").caller == ANONYMOUS


async def test_the_first_key_closes_the_door(make: Callable[..., Office]) -> None:
    office = make(known=Keyring([]))
    office.books.set_keys(keyring())
    with pytest.raises(AuthenticationError, match="an API key is needed"):
        office.enter(None)
    caller = office.enter().caller
    assert (caller.key, caller.owner, caller.tenant) == (PREFIX, "ann", "acme")


async def test_a_wrong_key_is_refused_and_not_repeated(office: Office) -> None:
    wrong = f"{TEXT[:-1]}!"
    with pytest.raises(AuthenticationError) as refused:
        office.enter(wrong)
    assert wrong[-20:] not in str(refused.value)


@pytest.mark.parametrize("keys", ["auto", "required"])
async def test_before_the_keys_are_known_nobody_comes_in(make: Callable[..., Office], keys: KeyPolicy) -> None:
    office = make(keys)
    for key in (None, TEXT):
        with pytest.raises(StateUnavailableError, match="not been able to read the API keys yet"):
            office.enter(key)


async def test_keys_can_be_required_though_there_are_none(make: Callable[..., Office]) -> None:
    office = make("required", Keyring([]))
    with pytest.raises(AuthenticationError):
        office.enter(None)


async def test_keys_can_be_switched_off_though_there_are_some(make: Callable[..., Office]) -> None:
    office = make("off")
    assert office.enter(None).caller == ANONYMOUS  # whatever the database says, or does not
    office.books.set_keys(keyring())
    assert office.enter(None).caller == office.enter(TEXT).caller == ANONYMOUS


async def test_who_is_refused_is_written_down_as_nobody(office: Office) -> None:
    arrival = Arrival("r7", "openai", "/v1/models", LONG_S, "wrong", {"user-agent": "x"})
    office.books.reject(arrival, Ending(401, Outcome.REFUSED, AuthenticationError("invalid API key")))
    (record,) = office.records()
    assert (record.id, record.key, record.tenant, record.status) == ("r7", None, NOBODY.tenant, 401)
    assert (record.outcome, record.error) == (Outcome.REFUSED, "authentication")


async def test_an_answer_is_charged_with_what_it_used(office: Office) -> None:
    plane, call = await office.plane(), office.enter()
    office.replicas["m@1"].answer.set()
    await plane.embed("m", EmbeddingRequest(("hello",)), call)
    record = office.leave(call)
    assert (record.input_tokens, record.output_tokens) == (2, 0)
    assert record.cost_nano == 2 * 1000 + 1_000_000
    assert office.reserved(Unit.SLOTS) == office.reserved(Unit.TOKENS) == 0
    assert office.settled() == +charged([record])
    assert {charge.unit for charge in record.charges} == LIMITS.keys() - {"concurrent_requests"}


async def stream_whole(plane: DataPlane, call: Call, office: Office) -> None:
    async with aclosing(await plane.generate("m", GREEDY, call)) as stream:
        async for _ in stream:
            pass


async def leave_stream(plane: DataPlane, call: Call, office: Office) -> None:
    async with aclosing(await plane.generate("m", GREEDY, call)) as stream:
        await anext(aiter(stream))


async def break_stream(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].chunks = office.replicas["m@1"].chunks[:2]
    office.replicas["m@1"].breaks = EngineError("it broke")
    async with aclosing(await plane.generate("m", GREEDY, call)) as stream:
        with pytest.raises(EngineError):
            async for _ in stream:
                pass


async def fail(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].error = EngineError("it broke")
    with pytest.raises(EngineError):
        await plane.infer("m", InferRequest(()), call)


async def cancel(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].answer.clear()
    asked = asyncio.create_task(plane.infer("m", InferRequest(()), call))
    await office.replicas["m@1"].called.wait()
    asked.cancel()
    await asyncio.wait({asked})


async def retry(plane: DataPlane, call: Call, office: Office) -> None:
    office.replicas["m@1"].errors = [ModelUnavailableError("a replica died")]
    await plane.infer("m", InferRequest(()), call)


async def several(plane: DataPlane, call: Call, office: Office) -> None:
    for _ in range(3):
        await plane.embed("m", EmbeddingRequest(("hello",)), call)


async def at_once(plane: DataPlane, call: Call, office: Office) -> None:
    await asyncio.gather(*(stream_whole(plane, call, office) for _ in range(3)))


ENDINGS = {
    "whole": (stream_whole, True),
    "left": (leave_stream, True),
    "broken": (break_stream, True),
    "failed": (fail, False),
    "cancelled": (cancel, False),
    "retried": (retry, True),
    "several": (several, True),
    "at once": (at_once, True),
}


@pytest.mark.parametrize(("end", "counts"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_whatever_the_end_what_is_settled_is_what_the_record_charges(
    office: Office, end: Callable[[DataPlane, Call, Office], object], counts: bool
) -> None:
    first = replace(CHUNKS[0], num_tokens=1, num_prompt_tokens=3)
    office.replicas["m@1"].chunks = (first, GenerationChunk("two", num_tokens=1), CHUNKS[2])
    office.replicas["m@1"].answer.set()
    plane, call = await office.plane(), office.enter()
    await end(plane, call, office)  # type: ignore[misc]
    record = office.leave(call)
    assert office.settled() == +charged([record])
    assert {lease.reserved for lease in office.allowance._leases.values()} == {0}
    requests = [count for counter, count in office.settled().items() if counter.limit.unit is Unit.REQUESTS]
    assert requests == ([1] if counts else [])


async def test_a_hedged_call_is_one_request_whichever_answers(office: Office) -> None:
    plane = await office.plane({"routes": {"m": {"version": "1", "hedge": {"after_ms": 5}}}})
    call = office.enter()
    asked = asyncio.create_task(plane.infer("m", InferRequest(()), call))
    await eventually(lambda: office.replicas["m@1"].num_calls == 2)
    assert office.reserved(Unit.SLOTS) == 1
    office.replicas["m@1"].errors = [ModelUnavailableError("the first died")]
    office.replicas["m@1"].answer.set()
    await asked
    record = office.leave(call)
    assert office.settled() == +charged([record])
    assert 1 in office.settled().values()


async def test_a_slot_is_held_until_its_request_ends_or_is_cancelled(office: Office) -> None:
    plane = await office.plane()
    running = [asyncio.create_task(plane.infer("m", InferRequest(()), office.enter())) for _ in range(2)]
    await eventually(lambda: office.replicas["m@1"].num_calls == 2)
    assert office.reserved(Unit.SLOTS) == 2
    with pytest.raises(QuotaExceededError, match="concurrent_requests"):
        await plane.infer("m", InferRequest(()), office.enter())
    running[0].cancel()
    await asyncio.wait(running[:1])
    assert office.reserved(Unit.SLOTS) == 1
    office.replicas["m@1"].answer.set()
    await running[1]


async def test_who_is_refused_hears_what_is_left_and_is_charged_nothing(make: Callable[..., Office]) -> None:
    office = make("off", **ONE_PER_MINUTE)
    plane = await office.plane()
    office.replicas["m@1"].answer.set()
    first, second = office.enter(None), office.enter(None)
    await plane.infer("m", InferRequest(()), first)
    with pytest.raises(QuotaExceededError) as refused:
        await plane.infer("m", InferRequest(()), second)
    assert refused.value.retry_after_s == pytest.approx(60 - NOW % 60)
    for call in (first, second):
        assert call.tally.rate_limits["x-ratelimit-limit-requests"] == "1"
        assert call.tally.rate_limits["x-ratelimit-remaining-requests"] == "0"
    assert office.leave(second, Outcome.REFUSED).charges == ()


async def test_a_retry_needs_no_second_request_of_the_limit(make: Callable[..., Office]) -> None:
    office = make("off", **ONE_PER_MINUTE)
    plane, call = await office.plane(), office.enter(None)
    office.replicas["m@1"].answer.set()
    await retry(plane, call, office)
    await plane.infer("m", InferRequest(()), call)  # one more of the same call
    assert office.leave(call).charges


async def test_new_limits_hold_for_what_comes_and_keep_what_was_used(make: Callable[..., Office]) -> None:
    office = make("off", **ONE_PER_MINUTE)
    plane = await office.plane()
    office.replicas["m@1"].answer.set()
    await plane.infer("m", InferRequest(()), office.enter(None))
    two = {"tenants": {"default": {"limits": {"requests_per_minute": 2}}}}
    office.books.set_policy(RouterPolicy.model_validate(two))
    await plane.infer("m", InferRequest(()), office.enter(None))
    with pytest.raises(QuotaExceededError):
        await plane.infer("m", InferRequest(()), office.enter(None))


async def test_without_limits_usage_and_cost_are_written_down(make: Callable[..., Office]) -> None:
    office = make("off", models={"m": {"price": {"input": "3"}}})
    call = office.enter(None)
    async with office.books.reserve(call, "m", Usage(100)) as spending:
        spending.set(Usage(7, 1))
    record = office.leave(call)
    assert (record.input_tokens, record.output_tokens, record.cost_nano) == (7, 1, 21_000)
    assert record.charges == ()
    assert a_call().tally.charges == set()
