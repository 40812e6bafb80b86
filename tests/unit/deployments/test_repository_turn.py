"""One change at a time, of all who ask Ray for the same name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import Any

import pytest

from deployments import repository_turn
from deployments.repository_turn import cluster_turn


class Names:
    """Ray, as far as it gives a name to one actor at a time."""

    def __init__(self) -> None:
        self._given = Lock()

    def remote(self, **options: object) -> Callable[[type], Names]:
        return (lambda _: self) if options else self._give()

    def options(self, **options: object) -> Names:
        return self

    def kill(self, held: object) -> None:
        self._given.release()

    def _give(self) -> Any:
        if not self._given.acquire(blocking=False):
            raise ValueError("the name is already taken")
        return self


@pytest.mark.parametrize("error", [None, KeyError("a change that fails")])
async def test_turns_do_not_overlap_and_end(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    monkeypatch.setattr(repository_turn, "ray", Names())
    monkeypatch.setattr(repository_turn, "_POLL_S", 0.001)
    inside: list[int] = []

    async def change(number: int) -> None:
        async with cluster_turn():
            inside.append(number)
            await asyncio.sleep(0)
            assert inside == [number]
            inside.clear()
            if error:
                raise error

    ended = await asyncio.gather(*map(change, range(8)), return_exceptions=True)
    assert ended == [error] * 8
