"""The picture of what is live: shared refreshes, and polls that may fail."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from deployments.dataplane.catalog import Catalog
from deployments.routing.states import Picture
from models.errors import ModelUnavailableError
from tests.unit.deployments.live_models import Cluster, state


@asynccontextmanager
async def polling(catalog: Catalog) -> AsyncIterator[None]:
    task = asyncio.create_task(catalog.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_fetched(cluster: Cluster, times: int) -> None:
    async with asyncio.timeout(5):
        while cluster.num_fetches < times:  # noqa: ASYNC110  the fetch runs in a thread
            await asyncio.sleep(0.001)


class SlowFetch:
    """A fetch that goes on until it is released."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.release = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self) -> Picture:
        self.threads.append(threading.current_thread())
        self.began.set()
        assert self.release.wait(5)
        return Picture((state("m@1"),))


async def test_a_refresh_brings_the_newest_picture() -> None:
    cluster = Cluster((state("m@1"),))
    catalog = Catalog(cluster.fetch, period_s=1)
    assert not catalog.states
    await catalog.refresh()
    assert catalog.states == (state("m@1"),)


async def test_refreshes_at_the_same_time_ask_once_and_off_the_loop() -> None:
    fetch = SlowFetch()
    catalog = Catalog(fetch, period_s=1)
    waiting = [asyncio.create_task(catalog.refresh()) for _ in range(10)]
    await asyncio.to_thread(fetch.began.wait, 5)
    fetch.release.set()
    await asyncio.gather(*waiting)
    assert len(fetch.threads) == 1
    assert fetch.threads != [threading.current_thread()]


async def test_one_that_stops_waiting_does_not_stop_the_others() -> None:
    fetch = SlowFetch()
    catalog = Catalog(fetch, period_s=1)
    impatient, patient = asyncio.create_task(catalog.refresh()), asyncio.create_task(catalog.refresh())
    await asyncio.to_thread(fetch.began.wait, 5)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    fetch.release.set()
    await patient
    assert catalog.states == (state("m@1"),)


async def test_it_polls_until_it_is_cancelled() -> None:
    cluster = Cluster(upcoming=[(state("m@1"),), (state("m@1"), state("m@2"))])
    catalog = Catalog(cluster.fetch, period_s=0.001)
    async with polling(catalog):
        await until_fetched(cluster, 3)
    assert catalog.states == (state("m@1"), state("m@2"))


async def test_a_poll_that_fails_keeps_the_picture_and_polling(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster((state("m@1"),))
    catalog = Catalog(cluster.fetch, period_s=0.001)
    await catalog.refresh()
    cluster.error = OSError("the controller is gone")
    with caplog.at_level(logging.WARNING, "ray.serve"):
        async with polling(catalog):
            await until_fetched(cluster, 3)
            assert catalog.states == (state("m@1"),)
            cluster.error, cluster.states = None, (state("m@2"),)
            await until_fetched(cluster, cluster.num_fetches + 2)
    assert catalog.states == (state("m@2"),)
    assert "the last picture stays" in caplog.text
    assert "the controller is gone" in caplog.text


async def test_a_poll_goes_on_when_nobody_can_follow_it(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster((state("m@1"),))
    catalog = Catalog(cluster.fetch, period_s=0.001)

    def fail() -> None:
        raise RuntimeError("cannot change state")

    catalog.on_change(fail)
    with caplog.at_level(logging.WARNING, "ray.serve"):
        async with polling(catalog):
            await until_fetched(cluster, 3)
    assert "cannot change state" in caplog.text


async def test_who_needs_a_new_picture_and_cannot_have_it_is_told() -> None:
    cluster = Cluster(error=OSError("the controller is gone"))
    with pytest.raises(ModelUnavailableError, match="Serve does not say what is live: the controller is gone"):
        await Catalog(cluster.fetch, period_s=1).refresh()
