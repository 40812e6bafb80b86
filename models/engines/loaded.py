"""What an engine holds from its constructor until ``close``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

from models.errors import EngineError

T = TypeVar("T")


class Loaded(Generic[T]):
    """A loaded model, shared by the threads that compute with it, counted while they do.

    After ``close`` it is freed as soon as the last of them is done.
    """

    def __init__(self, model: T) -> None:
        self._model: T | None = model
        self._lock = Lock()
        self._num_running = 0

    @property
    def num_running(self) -> int:
        return self._num_running

    @contextmanager
    def use(self) -> Iterator[T]:
        """The model; EngineError when it was closed."""
        model = self.check()
        self._count(1)
        try:
            yield model
        finally:
            self._count(-1)

    def check(self) -> T:
        """EngineError when the model was closed."""
        if self._model is None:
            raise EngineError("the engine was closed", remedy="send the request to another replica")
        return self._model

    def close(self) -> None:
        self._model = None

    def _count(self, change: int) -> None:
        with self._lock:
            self._num_running += change
