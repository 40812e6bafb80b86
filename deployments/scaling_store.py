"""What routers and Serve's controller tell one another about scaling, in Ray's own store. Blocking; RayError.

One key for each router replica, and two for each application.
"""

from __future__ import annotations

from collections.abc import Mapping

from ray.experimental import internal_kv

_NAMESPACE = b"stowage"
_DEMAND = b"scaling/demand/"
_LATEST = b"scaling/latest/"
_CHANGES = b"scaling/changes/"
_TIMEOUT_S = 5.0


class ScalingStore:
    """In the process of a replica, of the controller, or of another that Ray knows."""

    def put_demand(self, router: str, value: bytes) -> None:
        """What a router replica tells."""
        _put(_DEMAND + router.encode(), value)

    def drop_demand(self, router: str) -> None:
        """The router replica is gone."""
        _drop(_DEMAND + router.encode())

    def demands(self) -> dict[str, bytes]:
        """What all of them have told last, by name."""
        return _all(_DEMAND)

    def put_latest(self, application: str, value: bytes) -> None:
        """The latest evaluation."""
        _put(_LATEST + application.encode(), value)

    def put_changes(self, application: str, value: bytes) -> None:
        """The last changes."""
        _put(_CHANGES + application.encode(), value)

    def read(self, application: str) -> tuple[bytes | None, bytes | None]:
        """The latest evaluation, and the last changes."""
        keys = [_LATEST + application.encode(), _CHANGES + application.encode()]
        found = _get(keys)
        return found.get(keys[0]), found.get(keys[1])

    def applications(self) -> set[str]:
        """All that something is kept of."""
        return {key.removeprefix(_LATEST).decode() for key in _list(_LATEST)}

    def drop(self, application: str) -> None:
        """Forget the application."""
        for prefix in (_LATEST, _CHANGES):
            _drop(prefix + application.encode())


def _put(key: bytes, value: bytes) -> None:
    internal_kv._internal_kv_put(key, value, overwrite=True, namespace=_NAMESPACE)


def _drop(key: bytes) -> None:
    internal_kv._internal_kv_del(key, namespace=_NAMESPACE)


def _list(prefix: bytes) -> list[bytes]:
    keys: list[bytes] = internal_kv._internal_kv_list(prefix, namespace=_NAMESPACE)
    return keys


def _get(keys: list[bytes]) -> Mapping[bytes, bytes]:
    """Those that are there, in one call."""
    client = internal_kv.internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]
    found: Mapping[bytes, bytes] = client.internal_kv_multi_get(keys, _NAMESPACE, _TIMEOUT_S)
    return found


def _all(prefix: bytes) -> dict[str, bytes]:
    keys = _list(prefix)
    found = _get(keys) if keys else {}
    return {key.removeprefix(prefix).decode(): value for key, value in found.items()}
