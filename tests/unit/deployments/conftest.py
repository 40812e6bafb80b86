from __future__ import annotations

import pytest
from ray.experimental import internal_kv
from ray.util.metrics import Gauge


@pytest.fixture
def group_store(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    """A dictionary in the place of the store in which Ray keeps the records of groups."""
    kept: dict[bytes, bytes] = {}

    def put(key: bytes, value: bytes, *, overwrite: bool, namespace: bytes) -> None:
        assert overwrite
        assert namespace
        kept[key] = value

    def list_keys(prefix: str, *, namespace: bytes) -> list[bytes]:
        assert namespace
        return [key for key in kept if key.startswith(prefix.encode())]

    monkeypatch.setattr(internal_kv, "_internal_kv_put", put)
    monkeypatch.setattr(internal_kv, "_internal_kv_list", list_keys)
    monkeypatch.setattr(internal_kv, "_internal_kv_get", lambda key, namespace: kept.get(key))  # noqa: ARG005
    monkeypatch.setattr(internal_kv, "_internal_kv_del", lambda key, namespace: kept.pop(key, None))  # noqa: ARG005
    return kept


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, dict[str, str]]]:
    """The value and labels of all that Ray's own gauges, which check the labels, were given."""
    found: list[tuple[float, dict[str, str]]] = []
    set_gauge = Gauge.set

    def spy(gauge: Gauge, value: float, tags: dict[str, str]) -> None:
        set_gauge(gauge, value, tags)
        found.append((value, tags))

    monkeypatch.setattr(Gauge, "set", spy)
    return found
