"""When a server is told to sleep and to wake, in an event loop whose clock jumps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engines.idle_sleep import IdleSleep
from models.errors import EngineError
from tests.unit.models.engines.virtual_time import run_virtually

AFTER_S = 10.0
TAKES_S = 2.0

Visit = tuple[float, float, float]  # when a request comes, how long it stays, and when its caller gives up at last


class Server:
    """Takes a while to obey; ``said`` has when an order began and when it ended. ``broken`` orders fail."""

    def __init__(self) -> None:
        self.said: list[tuple[str, float]] = []
        self.broken: set[str] = set()
        self.is_up = True
        self.idle = IdleSleep(AFTER_S, lambda: self._obey("sleep", up=False), lambda: self._obey("wake", up=True))

    async def _obey(self, order: str, *, up: bool) -> None:
        self.is_up = False  # neither the one nor the other
        self.say(order)
        await asyncio.sleep(TAKES_S)
        if order in self.broken:
            raise EngineError(f"cannot {order}")
        self.say(f"{order}: done")
        self.is_up = up

    def say(self, what: str) -> None:
        self.said.append((what, asyncio.get_running_loop().time()))

    @property
    def orders(self) -> list[str]:
        return [what for what, _ in self.said if "done" not in what]

    async def ask(self, for_s: float = 0) -> None:
        async with self.idle.awake():
            assert self.is_up
            await asyncio.sleep(for_s)
            assert self.is_up


def test_it_sleeps_so_long_after_the_last_request_and_wakes_for_the_next() -> None:
    async def scenario() -> list[tuple[str, float]]:
        server = Server()
        await asyncio.gather(server.ask(3), server.ask(7))
        await asyncio.sleep(9)
        await server.ask(5)  # at 16
        await asyncio.sleep(29)
        await server.ask()  # at 50
        server.idle.close()
        return server.said

    slept = [("sleep", 31.0), ("sleep: done", 33.0)]
    assert run_virtually(scenario()) == [*slept, ("wake", 50.0), ("wake: done", 52.0)]


def test_one_that_nobody_asks_sleeps_once_after_its_first_health_check() -> None:
    async def scenario() -> list[tuple[str, float]]:
        server = Server()
        for _ in range(10):
            server.idle.check()
            await asyncio.sleep(5)
        assert len(asyncio.all_tasks()) == 1
        return server.said

    assert run_virtually(scenario()) == [("sleep", AFTER_S), ("sleep: done", AFTER_S + TAKES_S)]


def test_requests_that_wake_it_at_once_wake_it_once() -> None:
    async def scenario() -> list[str]:
        server = Server()
        await server.ask()
        await asyncio.sleep(20)
        await asyncio.gather(*(server.ask(1) for _ in range(5)))
        return server.orders

    assert run_virtually(scenario()) == ["sleep", "wake"]


def test_a_request_that_comes_while_it_goes_to_sleep_waits_for_that() -> None:
    async def scenario() -> list[tuple[str, float]]:
        server = Server()
        await server.ask()
        await asyncio.sleep(AFTER_S + 1)
        await server.ask()
        return server.said

    assert run_virtually(scenario())[1:3] == [("sleep: done", 12.0), ("wake", 12.0)]


@pytest.mark.parametrize("asked", [True, False], ids=["a request", "a health check"])
def test_what_comes_at_the_very_moment_at_which_it_is_to_sleep_is_seen(*, asked: bool) -> None:
    async def at_that_moment(server: Server) -> None:
        await asyncio.sleep(AFTER_S)  # a timer that was set before that of the server, and so ends before it
        server.idle.check()
        if asked:
            await server.ask(5)

    async def scenario() -> list[tuple[str, float]]:
        server = Server()
        visit = asyncio.create_task(at_that_moment(server))
        await asyncio.sleep(0)
        server.idle.check()
        await visit
        await asyncio.sleep(3 * AFTER_S)
        return server.said

    begins_s = AFTER_S + 5 + AFTER_S if asked else AFTER_S
    assert run_virtually(scenario()) == [("sleep", begins_s), ("sleep: done", begins_s + TAKES_S)]


def test_it_wakes_and_sleeps_again_though_the_request_was_cancelled() -> None:
    async def scenario() -> list[tuple[str, float]]:
        server = Server()
        await server.ask()
        await asyncio.sleep(20)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.ask(), 1)
        await asyncio.sleep(30)
        return server.said

    said = run_virtually(scenario())[2:]
    assert said[:2] == [("wake", 20.0), ("wake: done", 22.0)]
    assert [what for what, _ in said[2:]] == ["sleep", "sleep: done"]


def test_a_wake_that_fails_reaches_the_request_and_the_health_check_until_one_does_not() -> None:
    async def scenario() -> None:
        server = Server()
        await server.ask()
        await asyncio.sleep(20)
        server.broken = {"wake"}
        asked = [asyncio.create_task(server.ask()) for _ in range(2)]
        await asyncio.wait(asked)
        assert [str(each.exception()) for each in asked] == ["cannot wake"] * 2
        with pytest.raises(EngineError, match="has failed: cannot wake"):
            server.idle.check()
        server.broken = set()
        await server.ask()
        server.idle.check()

    run_virtually(scenario())


def test_a_sleep_that_fails_is_told_and_the_next_request_wakes_it(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[str]:
        server = Server()
        server.broken = {"sleep"}
        await server.ask()
        await asyncio.sleep(20)
        with pytest.raises(EngineError, match="has failed: cannot sleep"):
            server.idle.check()
        await server.ask()
        server.idle.check()
        return server.orders

    with caplog.at_level(logging.ERROR):
        assert run_virtually(scenario()) == ["sleep", "wake"]
    assert "cannot sleep" in caplog.text


@pytest.mark.parametrize("at_s", [0, 5, AFTER_S + 1, 20], ids=["at once", "at rest", "going to sleep", "asleep"])
def test_when_it_is_closed_nothing_goes_on(at_s: float) -> None:
    async def scenario() -> list[str]:
        server = Server()
        await server.ask()
        await asyncio.sleep(at_s)
        server.idle.close()
        server.idle.close()
        orders = list(server.orders)
        await asyncio.sleep(100)
        assert len(asyncio.all_tasks()) == 1
        assert server.orders == orders
        return orders

    assert run_virtually(scenario()) == (["sleep"] if at_s > AFTER_S else [])


def test_a_request_that_ends_when_it_is_closed_starts_nothing() -> None:
    async def scenario() -> list[str]:
        server = Server()
        asked = asyncio.create_task(server.ask(5))
        await asyncio.sleep(1)
        server.idle.close()
        await asked
        await asyncio.sleep(100)
        return server.orders

    assert run_virtually(scenario()) == []


def test_a_request_that_waits_when_it_is_closed_fails() -> None:
    async def scenario() -> None:
        server = Server()
        await server.ask()
        await asyncio.sleep(20)
        waiting = asyncio.create_task(server.ask())
        await asyncio.sleep(1)
        server.idle.close()
        with pytest.raises(EngineError, match="closed while a request waited"):
            await waiting
        assert len(asyncio.all_tasks()) == 1

    run_virtually(scenario())


# Whole seconds, so that much happens at the same moment.
_SECONDS = st.integers(0, 40).map(float)


@given(st.lists(st.tuples(_SECONDS, _SECONDS, _SECONDS), min_size=1, max_size=8))
def test_it_is_up_for_whoever_comes_and_sleeps_at_last(visits: list[Visit]) -> None:
    async def visit(server: Server, at_s: float, stays_s: float, patience_s: float) -> None:
        await asyncio.sleep(at_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(server.ask(stays_s), patience_s)

    async def scenario() -> Server:
        server = Server()
        visiting: list[Awaitable[None]] = [visit(server, *each) for each in visits]
        await asyncio.gather(*visiting)
        server.idle.check()
        await asyncio.sleep(2 * AFTER_S)
        server.idle.check()
        assert len(asyncio.all_tasks()) == 1
        return server

    server = run_virtually(scenario())
    assert server.orders[-1] == "sleep"
    assert set(server.orders[::2]) == {"sleep"}
    assert set(server.orders[1::2]) <= {"wake"}
