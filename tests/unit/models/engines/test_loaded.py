"""Threads use a model together, are counted, and keep it until they are done."""

from __future__ import annotations

import gc
import weakref
from threading import Barrier, Thread

import pytest

from models.engines.loaded import Loaded
from models.errors import EngineError


class Model:
    """Anything that can be held."""


def test_users_are_counted_while_they_use_it() -> None:
    loaded = Loaded(Model())
    everyone = Barrier(4)

    def use() -> None:
        with loaded.use():
            everyone.wait(timeout=10)
            everyone.wait(timeout=10)

    threads = [Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    everyone.wait(timeout=10)
    assert loaded.num_running == 3
    everyone.wait(timeout=10)
    for thread in threads:
        thread.join(timeout=10)
    assert loaded.num_running == 0


def test_a_failed_use_is_no_longer_counted() -> None:
    loaded = Loaded(Model())
    with pytest.raises(KeyError), loaded.use():
        raise KeyError
    assert loaded.num_running == 0


def test_closing_frees_the_model_when_the_last_user_is_done() -> None:
    model = Model()
    alive = weakref.ref(model)
    loaded = Loaded(model)
    del model
    with loaded.use():
        loaded.close()
        gc.collect()
        assert alive() is not None
    gc.collect()
    assert alive() is None
    with pytest.raises(EngineError, match="closed"), loaded.use():
        pass
