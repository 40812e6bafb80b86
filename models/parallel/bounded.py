"""Work that ends within a bound, or whose caller at least goes on without it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from models.errors import GroupError

T = TypeVar("T")


def start(work: Callable[[], T]) -> Future[T]:
    """Begin ``work`` on a thread of its own, which keeps no process alive that wants to end.

    An executor's threads would: a process waits for them at its end, however long they hang.
    """
    future: Future[T] = Future()
    Thread(target=_fulfil, args=(future, work), daemon=True).start()
    return future


def bounded(work: Callable[[], T], within_s: float, what: str) -> T:
    """What ``work`` gives or raises; GroupError when that takes longer, and ``work`` goes on unheeded."""
    future = start(work)
    try:
        return future.result(within_s)
    except TimeoutError as error:
        if future.done():
            raise
        raise GroupError(
            f"{what} took longer than {within_s:g} s", remedy="see what holds it up, or allow more time"
        ) from error


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  whoever waits gets it, whatever it is
        future.set_exception(error)
