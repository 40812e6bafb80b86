"""Whether a port is free, before anything is started that needs it."""

from __future__ import annotations

import errno
import socket

from models.errors import ConfigError


def require_free_port(host: str, port: int, field: str = "http_options") -> None:
    """ConfigError when no server could listen on ``host``:``port``, which the configuration's ``field`` gives."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: skip TIME_WAIT
            listener.bind(address)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        raise ConfigError(
            f"port {port} of {host} {'is in use' if in_use else f'cannot be listened on: {error}'}",
            remedy=f"stop what listens there, or change {field} in the configuration",
        ) from error
