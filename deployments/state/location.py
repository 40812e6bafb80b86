"""Where the state database is: a URL, or the name of the environment variable that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.errors import StateError

DEFAULT_STATE = "sqlite:///~/.stowage/state.db"

_SQLITE = "sqlite:///"
_POSTGRESQL = "postgresql://"
_BY_NAME = "env:"
_FORMS = f"give {_SQLITE}/absolute/path.db, {_POSTGRESQL}user:password@host/database, or env:VARIABLE"


def state_url(location: str, environ: Mapping[str, str]) -> str:
    """The URL that ``location`` gives or names, checked, with ``~`` of an SQLite path made absolute.

    ``env:NAME`` keeps a password out of configuration files. StateError; it never shows what may be a password.
    """
    url = _named(location, environ) if location.startswith(_BY_NAME) else location
    if url.startswith(_SQLITE):
        return f"{_SQLITE}{_absolute(url.removeprefix(_SQLITE))}"
    if not url.startswith(_POSTGRESQL):
        scheme = url.partition(":")[0] if "://" in url else "no scheme at all"
        raise StateError(f"the state database cannot be at a URL with {scheme}", remedy=_FORMS)
    return url


def check_shared(url: str, num_replicas: int, num_nodes: int) -> None:
    """StateError where each of ``num_nodes`` nodes would have a file of its own for the replicas that share it."""
    if url.startswith(_SQLITE) and num_replicas > 1 and num_nodes > 1:
        raise StateError(
            f"{num_replicas} router replicas may be on {num_nodes} nodes, and each node would have its own {url}",
            remedy=f"write state: {_POSTGRESQL}..., or num_replicas: 1",
        )


def _named(location: str, environ: Mapping[str, str]) -> str:
    name = location.removeprefix(_BY_NAME)
    if name not in environ:
        raise StateError(
            f"the state database is to be at {location}, and the environment has no {name!r}", remedy=f"set {name}"
        )
    return environ[name]


def _absolute(path: str) -> Path:
    absolute = Path(path).expanduser()
    if not absolute.is_absolute() or "?" in path:
        raise StateError(f"{path!r} is no absolute path of a state database", remedy=_FORMS)
    return absolute
